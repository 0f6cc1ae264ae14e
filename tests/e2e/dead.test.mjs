// Dead letters from the job that fails to the alerts of its group, and what the scheduler costs when nothing happens.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { CLI, freePort, httpJob, pause, pushRaw, until, withStage } from '../support/stage.mjs';

const DEAD = 'lockstep:{default}:dead';
const notices = (hook, type, status = 'firing') => hook.seen.map(({ body }) => JSON.parse(body)).filter((notice) => notice.type === type && notice.status === status);
const some = (hook, type) => until(type, () => (notices(hook, type).length ? notices(hook, type) : null));
const lockstep = (pool, ...words) => promisify(execFile)(CLI, ['--redis', `unix://${pool.socket}`, 'dead', ...words]);
const groups = async (redis) => Object.entries(await redis.hash(`${DEAD}:groups`)).map(([name, row]) => ({ name, count: Number(row.split(' ')[0]) }));

describe('alerts of dead letters', { concurrency: 4 }, () => {
    test('a group is counted by what failed; emptied, it alerts again when it fills again', withStage(async (stage) => {
        const hook = await stage.receiver();
        const shop = await stage.receiver(() => 422);
        const pool = await stage.pool(`alerts: [{to: "${hook.url}/alert"}]\nalert_rules: {tick: 100ms, cooldown: 1s, min_samples: 100000, dead_rate: 0}`);
        const redis = await pool.redis();

        await pushRaw(redis, [httpJob(`${shop.url}/x`, 1), httpJob(`${shop.url}/y`, 2), httpJob(`${shop.url}/z`, 3)]);
        await until('the first notice', () => notices(hook, 'sync_retry_exhausted').length >= 1);
        const [{ name }, ...others] = await groups(redis);
        assert.deepEqual(others, []); // three URLs, three errors, one group
        const first = notices(hook, 'sync_retry_exhausted')[0];
        assert.equal(first.group, `sync_retry_exhausted/default/${name}`);
        assert.equal(first.queue, 'default');
        assert.equal(first.look, `lockstep dead list --queue default --group ${name}`);
        assert.equal(first.code, 'http-422');
        assert.equal(first.class, 'permanent');
        assert.ok(Math.abs(Date.parse(first.since) - Date.now()) < 30_000);
        await until('all three to be told', () => notices(hook, 'sync_retry_exhausted').reduce((sum, { count }) => sum + count, 0) === 3);

        await lockstep(pool, 'discard', '--all', '--reason', 'test');
        await until('the look that sees it empty', async () => / seen=0 /.test(await redis.call('HGET', 'lockstep:{fleet}:alerts', first.group)));
        const before = hook.seen.length;
        await pushRaw(redis, [httpJob(`${shop.url}/x`, 4)]);
        await until('the first notice of the new ones', () => hook.seen.length > before);
        const again = notices(hook, 'sync_retry_exhausted').at(-1);
        assert.equal(again.group, first.group);
        assert.equal(again.count, 1);
        assert.equal(again.job.id, JSON.parse(await redis.call('LINDEX', DEAD, 0)).id);
    }));

    test('a group that grows fast, one whose oldest waits, a queue at its cap: one alert each', withStage(async (stage) => {
        const hook = await stage.receiver();
        const shop = await stage.receiver((request) => Number(request.url.slice(1)));
        const pool = await stage.pool(`queues: {default: {max_dead: 30}}
alerts: [{to: "${hook.url}/alert"}]
alert_rules: {tick: 100ms, exhausted: false, min_samples: 100000, dead_rate: 20, dead_age: 2s, window: 1m}`);
        const redis = await pool.redis();

        await pushRaw(redis, Array.from({ length: 25 }, (_, i) => httpJob(`${shop.url}/422`, i)));
        await pushRaw(redis, Array.from({ length: 4 }, (_, i) => httpJob(`${shop.url}/404`, i)));
        const [rate] = await some(hook, 'dead_rate');
        await until('all letters', async () => (await redis.call('LLEN', DEAD)) === 29);
        const many = (await groups(redis)).find(({ count }) => count === 25).name;
        const few = (await groups(redis)).find(({ count }) => count === 4).name;
        assert.equal(rate.group, `dead_rate/default/${many}`);
        assert.match(rate.details, /^\d+ jobs of one group died in the last 1m 0s: .*answered 422/);
        assert.ok(rate.died >= 20 && rate.died <= 25);
        assert.equal(rate.look, `lockstep dead list --queue default --group ${many}`);

        await until('dead_age of both groups', () => notices(hook, 'dead_age').length === 2);
        assert.deepEqual(notices(hook, 'dead_age').map(({ group }) => group).sort(), [`dead_age/default/${few}`, `dead_age/default/${many}`].sort());
        assert.ok(notices(hook, 'dead_age').every(({ age_ms: age, details }) => age > 2000 && /has waited 2.* for somebody to decide/.test(details)));
        assert.equal(notices(hook, 'dead_full').length, 0);

        await pushRaw(redis, [httpJob(`${shop.url}/410`, 0)]);
        const [full] = await some(hook, 'dead_full');
        assert.equal(full.group, 'dead_full/default');
        assert.match(full.details, /^30 dead jobs, 30 are allowed: nothing more is claimed/);
        assert.equal(full.dead, 30);
        assert.equal(full.look, 'lockstep dead groups --queue default');
        assert.ok(Math.abs(Date.parse(full.since) - Date.now()) < 30_000);

        await lockstep(pool, 'discard', '--group', few, '--reason', 'test');
        await until('the end of dead_full', () => notices(hook, 'dead_full', 'resolved').length === 1);
        await until('the end of one dead_age', () => notices(hook, 'dead_age', 'resolved').length === 1);
        assert.equal(notices(hook, 'dead_age', 'resolved')[0].group, `dead_age/default/${few}`);
        assert.equal(notices(hook, 'dead_rate').length, 1); // the other group never grew fast
        assert.equal(await redis.call('LLEN', DEAD), 26);
    }));

    test('the age of a group is that of what is left, not of what has gone', withStage(async (stage) => {
        const hook = await stage.receiver();
        const shop = await stage.receiver(() => 422);
        const pool = await stage.pool(`alerts: [{to: "${hook.url}/alert"}]
alert_rules: {tick: 100ms, exhausted: false, min_samples: 100000, dead_age: 1h, cooldown: 500ms}`);
        const redis = await pool.redis();
        const ago = (hours) => new Date(Date.now() - hours * 3_600_000).toISOString();

        await pushRaw(redis, [httpJob(`${shop.url}/x`, 1)]);
        const letter = JSON.parse(await until('a letter', () => redis.call('LINDEX', DEAD, 0)));
        const old = [3, 2].map((hours) => JSON.stringify({ ...letter, id: `${hours}h`, failed_at: ago(hours) }));
        await redis.call('DEL', DEAD, `${DEAD}:groups`);
        const child = promisify(execFile)(CLI, ['--redis', `unix://${pool.socket}`, 'dead', 'import', '-']);
        child.child.stdin.end(`${[...old, JSON.stringify(letter)].join('\n')}\n`);
        await child;
        const [age] = await some(hook, 'dead_age');
        assert.equal(age.since, JSON.parse(old[0]).failed_at);
        await lockstep(pool, 'retry', '3h');
        await pause(500);
        assert.equal(notices(hook, 'dead_age', 'resolved').length, 0); // the next one is two hours old
        await lockstep(pool, 'discard', '--all', '--limit', '1', '--reason', 'test');
        await until('the end of it', () => notices(hook, 'dead_age', 'resolved').length === 1);
        assert.ok((await redis.call('LLEN', DEAD)) >= 1);
        await until('its state to be forgotten', async () => (await redis.call('HEXISTS', 'lockstep:{fleet}:alerts', age.group)) === 0);
    }));
});

test('at rest the scheduler of one queue sends at most a command every two seconds', { timeout: 120_000 }, withStage(async (stage) => {
    const port = await freePort();
    await stage.redis({ port });
    const pool = await stage.pool(`redis: redis://127.0.0.1:${port}/0\nrunners: 1`);
    const redis = await stage.connect(port);
    await pool.logged('leader.taken');
    await pause(6000); // connecting, joining and becoming the leader are not rest

    const address = await until('the connection of the scheduler', async () => {
        const line = (await redis.call('CLIENT', 'LIST')).split('\n').find((text) => text.includes(' name=lockstep-scheduler '));
        return line && / addr=(\S+)/.exec(line)[1];
    });
    const monitor = await stage.connect(port);
    const seen = [];
    monitor.watch((line) => line.includes(` ${address}] `) && seen.push(line));
    await monitor.call('MONITOR');
    const from = performance.now();
    await pause(40_000);
    const seconds = (performance.now() - from) / 1000;
    const perSecond = seen.length / seconds;
    assert.ok(perSecond <= 0.5, `${seen.length} commands in ${seconds.toFixed(0)} s: ${perSecond.toFixed(2)} a second\n${seen.map((line) => line.slice(0, 120)).join('\n')}`);
    assert.ok(seen.length >= 8, `only ${seen.length} commands: is it the scheduler's connection?`); // beats go on
}));
