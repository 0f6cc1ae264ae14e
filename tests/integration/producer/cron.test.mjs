// lockstep cron: what it lists, what it answers to expressions, what it pushes.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { withStage } from '../../support/stage.mjs';

const zones = { skip: !existsSync('/usr/share/zoneinfo/Europe/Berlin') && 'no tz database' };
const files = { skip: process.env.LS_WITH_YAML === '0' && 'built without libyaml' };

function ok(stage, words, options) {
    const run = stage.cli(words, options);
    assert.equal(run.status, 0, `${words.join(' ')}: ${run.out}${run.err}`);
    return run.out;
}

test('next: the ticks of an expression, in local time and in UTC, with neither a pool nor a file', zones, withStage(async (stage) => {
    const out = ok(stage, ['cron', 'next', '30 2 * * *', '--zone', 'Europe/Berlin', '--from', '2026-10-24T12:00:00Z', '--count', '3', '--json']);
    assert.deepEqual(JSON.parse(out).map(({ local, utc }) => [local, utc]), [
        ['2026-10-25T02:30:00+02:00', '2026-10-25T00:30:00Z'], // comes twice that day, fires once
        ['2026-10-26T02:30:00+01:00', '2026-10-26T01:30:00Z'],
        ['2026-10-27T02:30:00+01:00', '2026-10-27T01:30:00Z'],
    ]);
    assert.match(ok(stage, ['cron', 'next', '@daily', '--from', '1774746000000']), /^LOCAL +UTC +IN\n2026-03-30T00:00:00\+00:00 +2026-03-30T00:00:00Z +23h 0m\n/);
    assert.equal(ok(stage, ['cron', 'next', '* * * * *']).split('\n').length, 1 + 5 + 1);
}));

test('next: what is wrong is named, exit 2', withStage(async (stage) => {
    for (const [words, pattern] of [
        [['61 * * * *'], /the minute cannot be '61'\nhint: 0 to 59/],
        [['0 0 30 2 *'], /this schedule never fires/],
        [['* * *'], /five fields, not 3/],
        [['@daily', '--zone', 'Mars/Olympus'], /'Mars\/Olympus'|no tz database/],
        [['@daily', '--zone', '../../etc/passwd'], /is no name of a time zone/],
        [['@daily', '--count', '0'], /from 1 to 1000/],
        [['@daily', '--from', 'noon'], /'--from' cannot be 'noon'/],
        [['@daily', '--from', '-5'], /'--from' cannot be '-5'/],
        [['0', '3', '*', '*', '1'], /put it in quotes/],
        [[], /which expression/],
    ]) {
        const run = stage.cli(['cron', 'next', ...words]);
        assert.match(run.err, pattern);
        assert.ok(run.status === 2 || /no tz database/.test(run.err), run.err);
    }
    assert.equal(stage.cli(['cron', 'list', '--zone', 'UTC']).status, 2);
    assert.equal(stage.cli(['cron', 'run']).status, 2);
    assert.equal(stage.cli(['cron', 'what']).status, 2);
    const without = stage.cli(['cron', 'next', '@daily', '--zone', 'Europe/Berlin'], { env: { TZDIR: '/nowhere' } });
    assert.equal(without.status, 1);
    assert.match(without.err, /there is no tz database at '\/nowhere'\nhint: install the package tzdata/);
}));

test('list: the schedules and how they stand; run: one job now', files, withStage(async (stage) => {
    const server = await stage.redis();
    const redis = await stage.connect(server.socket);
    const config = stage.path('lockstep.yaml');
    const list = () => JSON.parse(ok(stage, ['cron', 'list', '--json']));

    assert.match(ok(stage, ['cron', 'list']), /there are no schedules/);
    writeFileSync(config, `redis: ${server.url}
schedules:
  nightly: {cron: '0 3 * * 1-5', kind: http, data: '{"url":"http://x"}'}
  pulse: {every: 90s, kind: noop, key: pulse}
  off: {cron: '@daily', kind: noop, enabled: false}\n`);
    const [nightly, pulse, off] = list();
    assert.equal(nightly.spec, '0 3 * * 1-5');
    assert.equal(nightly.zone, 'UTC');
    assert.match(nightly.next, /T03:00:00Z$/);
    assert.equal(nightly.next_local, nightly.next.replace('Z', '+00:00'));
    assert.equal(nightly.last, null);
    assert.equal(pulse.spec, 'every 90s');
    assert.equal(pulse.zone, null);
    assert.equal(off.enabled, false);
    assert.equal(off.next, null);
    const [seconds] = await redis.call('TIME');
    assert.equal(Date.parse(pulse.next), (Math.floor(Number(seconds) / 90) + 1) * 90_000);
    await redis.call('HSET', 'lockstep:{fleet}:cron', 'pulse', `done 1767225600000 ffffffffffffffff`);
    assert.equal(list()[1].last, null, 'of another pace');
    assert.match(ok(stage, ['cron', 'list']), /^NAME +SPEC +ZONE +NEXT +NEXT UTC +LAST UTC +ENABLED\nnightly +0 3 \* \* 1-5 +UTC /);

    // Without a tz database one may push, but not say when a zone's ticks are.
    const bare = { env: { TZDIR: '/nowhere' } };
    writeFileSync(stage.path('zoned.yaml'), `redis: ${server.url}\nschedules: {a: {cron: '@daily', zone: Europe/Berlin, kind: noop}}\n`);
    ok(stage, ['push', 'noop', '--config', 'zoned.yaml'], bare);
    for (const words of [['cron', 'list'], ['cron', 'run', 'a'], ['config', 'check']]) {
        const refused = stage.cli([...words, '--config', 'zoned.yaml'], bare);
        assert.equal(refused.status, 1, words.join(' '));
        assert.match(refused.out + refused.err, /there is no tz database at '\/nowhere'/);
    }
    await redis.call('DEL', 'lockstep:{default}:pending');

    const run = JSON.parse(ok(stage, ['cron', 'run', 'nightly', '--json']));
    assert.equal(await redis.call('LINDEX', 'lockstep:{default}:pending', 0), `{"id":"${run.id}","kind":"http","data":{"url":"http://x"}}`);
    assert.match(ok(stage, ['cron', 'run', 'pulse']), /^pushed \S+ to queue default\n$/);
    assert.match(await redis.call('HGET', 'lockstep:{default}:bodies', 'pulse'), /"key":"pulse","kind":"noop"/);
    ok(stage, ['cron', 'run', 'off']); // by hand it may
    const missing = stage.cli(['cron', 'run', 'nightli']);
    assert.equal(missing.status, 1);
    assert.match(missing.err, /there is no schedule 'nightli'\nhint: 'lockstep cron list'/);
}));
