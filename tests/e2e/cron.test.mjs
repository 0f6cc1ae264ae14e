// Jobs by the clock, Redis' clock: it is another one than the host's here (tests/support/clock_shift.c) and jumps at the test's word.
import assert from 'node:assert/strict';
import { existsSync, openSync, writeFileSync, writeSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { BUILD, until, withStage } from '../support/stage.mjs';

const HOUR = 3_600_000;
const MINUTE = 60_000;
const SCHEDULER = { wait: false, args: ['--role', 'scheduler'] };
const zones = { skip: !existsSync('/usr/share/zoneinfo/Europe/Berlin') && 'no tz database' };

// A Redis whose clock can be set: set(ms) says what time it is there from now on, ahead(ms) moves it.
async function shifted(stage) {
    const file = openSync(stage.path('shift'), 'w+');
    let shift = 0;
    const write = (ms) => {
        shift = Math.round(ms);
        const bytes = Buffer.alloc(8);
        bytes.writeBigInt64LE(BigInt(shift));
        writeSync(file, bytes, 0, 8, 0);
    };
    write(0);
    const server = await stage.redis({ env: { LD_PRELOAD: join(BUILD, 'tests/clock_shift.so'), LS_CLOCK_SHIFT: stage.path('shift') } });
    const redis = await stage.connect(server.socket);
    return {
        server, redis, url: server.url,
        set: (ms) => write(ms - Date.now()),
        ahead: (ms) => write(shift + ms),
        now: async () => {
            const [seconds, micros] = await redis.call('TIME');
            return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
        },
    };
}

const jobs = async (redis, queue = 'default') => (await redis.call('LRANGE', `lockstep:{${queue}}:pending`, 0, -1)).map((text) => JSON.parse(text));
const ticksOf = (list, name) => list.map(({ id }) => id).filter((id) => id.startsWith(`${name}-`)).map((id) => Number(id.slice(name.length + 1)));
const state = async (redis, name) => (await redis.call('HGET', 'lockstep:{fleet}:cron', name)) ?? '';
const settled = (redis, name, tick) => until(`${name} to be done with ${tick}`, async () => (await state(redis, name)).startsWith(`done ${tick} `));

// In front of a scheduler's Redis, slow by delayMs. After arm() the next push of a job of `name` reaches Redis and no answer
// comes back any more; arm's promise tells when.
async function gate(stage, target, name, delayMs = 0) {
    const socket = stage.path(`gate-${name}-${delayMs}.sock`);
    let calls = 0;
    let caught = null;
    const server = net.createServer((client) => {
        const upstream = net.connect(target);
        let closed = false;
        const end = () => {
            client.destroy();
            upstream.destroy();
        };
        client.on('error', end).on('close', end).on('data', (chunk) => {
            calls += chunk.toString('latin1').split('lockstep:{fleet}:cron').length - 1;
            if (caught && chunk.includes(`"id":"${name}-`)) {
                closed = true;
                caught();
                caught = null;
            }
            setTimeout(() => upstream.write(chunk), delayMs);
        });
        upstream.on('error', end).on('close', end).on('data', (chunk) => closed || client.write(chunk));
    });
    await new Promise((resolve) => server.listen(socket, resolve));
    return {
        url: `unix://${socket}`,
        server,
        calls: () => calls,
        arm: () => new Promise((resolve) => {
            caught = resolve;
        }),
    };
}

test('two schedulers, every second: one job a tick, though three are killed between push and done', { timeout: 90_000 }, withStage(async (stage) => {
    const { server, redis } = await shifted(stage);
    const config = (address) => `redis: ${address}\nschedules: {pulse: {every: 1s, kind: noop, catch_up: all}}`;
    const fast = await gate(stage, server.socket, 'pulse');
    const slow = await gate(stage, server.socket, 'pulse', 40); // so that the others get the ticks
    const firing = async () => Number(/^firing (\d+) /.exec(await state(redis, 'pulse'))?.[1]);
    const done = async () => Number(/^done (\d+) /.exec(await state(redis, 'pulse'))?.[1]);

    try {
        const survivor = await stage.pool(config(slow.url), { name: 'survivor', ...SCHEDULER });
        await survivor.logged('scheduler.started');
        for (let i = 0; i < 3; i++) {
            const victim = await stage.pool(config(fast.url), { name: `victim-${i}`, ...SCHEDULER });
            await victim.logged('scheduler.started');
            await fast.arm();
            const tick = await firing();
            await until('its job', async () => ticksOf(await jobs(redis), 'pulse').includes(tick));
            assert.equal(await firing(), tick, 'pushed and not done');
            process.kill(victim.pid, 'SIGKILL');
            await until('the other to go on', async () => await done() > tick + 2000);
        }
        assert.equal(await survivor.stop(), 0);
        const ticks = ticksOf(await jobs(redis), 'pulse');
        assert.ok(ticks.length > 12, `${ticks.length} ticks`);
        assert.deepEqual(ticks, Array.from(ticks, (_, i) => ticks[0] + 1000 * i), 'each tick once, none left out, in order');
    } finally {
        fast.server.close();
        slow.server.close();
    }
}));

test('many schedules at rest ask nothing', withStage(async (stage) => {
    const { server, redis } = await shifted(stage);
    const counter = await gate(stage, server.socket, 'none');
    const rows = Array.from({ length: 200 }, (_, i) => `  s${i}: {cron: '0 0 29 2 *', kind: noop}`);
    const turns = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.call('INFO', 'commandstats'))?.[1] ?? 0);

    try {
        const pool = await stage.pool(`redis: ${counter.url}\nbeat: 100ms\nlease: 1s\nschedules:\n${rows.join('\n')}`, { name: 'a', ...SCHEDULER });
        await until('all of them to be seen', async () => await redis.call('HLEN', 'lockstep:{fleet}:cron') === 200);
        const [asked, before] = [counter.calls(), await turns()];
        await until('turns of the reaper', async () => await turns() > before + 20);
        assert.equal(counter.calls(), asked);
        assert.equal(await pool.stop(), 0);
    } finally {
        counter.server.close();
    }
}));

test('Redis\' clock decides, in the schedule\'s zone: a time that does not exist that day fires when the gap ends', zones, withStage(async (stage) => {
    const clock = await shifted(stage);
    const gap = Date.UTC(2027, 2, 28, 1); // 2:00 in Berlin becomes 3:00

    clock.set(gap - 2500);
    const pool = await stage.pool(`redis: ${clock.url}
queues: {shop: {}}
accounts: {eu: {platform: woocommerce, url: "https://shop.example", queue: shop}}
schedules:
  nightly: {cron: '30 2 * * *', zone: Europe/Berlin, kind: http, data: '{"url": "http://127.0.0.1:9/"}', priority: high}
  keyed: {cron: '0 3 * * sun', zone: Europe/Berlin, kind: noop, account: eu, key: eu/report}
  newyork: {cron: '30 2 * * *', zone: America/New_York, kind: noop}`, { name: 'a', ...SCHEDULER });
    await settled(clock.redis, 'nightly', gap);
    await settled(clock.redis, 'keyed', gap);
    assert.ok(await clock.now() >= gap, 'not before its time');
    assert.deepEqual(await clock.redis.call('LRANGE', 'lockstep:{default}:pending:high', 0, -1),
        [`{"id":"nightly-${gap}","kind":"http","data":{"url": "http://127.0.0.1:9/"},"priority":"high"}`]);
    assert.deepEqual(await clock.redis.call('LRANGE', 'lockstep:{shop}:pending', 0, -1), ['@eu/report']);
    assert.equal(await clock.redis.call('HGET', 'lockstep:{shop}:bodies', 'eu/report'), `{"account":"eu","id":"keyed-${gap}","key":"eu/report","kind":"noop"}`);
    assert.match(await state(clock.redis, 'newyork'), /^since /);
    const listed = JSON.parse(stage.cli(['cron', 'list', '--json', '--config', pool.config]).out);
    assert.deepEqual(listed.map(({ name, next_local: local, next, last }) => ({ name, local, next, last })), [
        { name: 'nightly', local: '2027-03-29T02:30:00+02:00', next: '2027-03-29T00:30:00Z', last: '2027-03-28T01:00:00Z' },
        { name: 'keyed', local: '2027-04-04T03:00:00+02:00', next: '2027-04-04T01:00:00Z', last: '2027-03-28T01:00:00Z' },
        { name: 'newyork', local: '2027-03-28T02:30:00-04:00', next: '2027-03-28T06:30:00Z', last: null },
    ]);
    assert.equal(await pool.stop(), 0);
}));

test('after a downtime each policy does what it says, and a clock that steps back fires nothing twice', withStage(async (stage) => {
    const clock = await shifted(stage);
    const start = Date.UTC(2030, 0, 1, 12);
    const config = `redis: ${clock.url}
schedules:
  last: {cron: '0 * * * *', kind: noop}
  all: {cron: '0 * * * *', kind: noop, catch_up: all}
  skip: {cron: '0 * * * *', kind: noop, catch_up: skip}
  every: {every: 1m, kind: noop, catch_up: all}
  off: {every: 1m, kind: noop, catch_up: all, enabled: false}`;
    const begin = async (name) => {
        const pool = await stage.pool(config, { name, ...SCHEDULER });
        await pool.logged('scheduler.started');
        return pool;
    };
    const seen = (name) => jobs(clock.redis).then((list) => ticksOf(list, name));

    clock.set(start + 20_000);
    const first = await begin('a');
    await until('all of them to be seen', async () => await clock.redis.call('HLEN', 'lockstep:{fleet}:cron') === 4);
    assert.deepEqual(await jobs(clock.redis), [], 'a schedule begins with its next tick');
    assert.equal(await first.stop(), 0);

    clock.set(start + 5 * HOUR + 2 * MINUTE); // five ticks passed, the newest two minutes ago
    const second = await begin('b');
    await settled(clock.redis, 'all', start + 5 * HOUR);
    await settled(clock.redis, 'every', start + 5 * HOUR + 2 * MINUTE);
    await settled(clock.redis, 'last', start + 5 * HOUR);
    await second.logged(/cron\.missed: skip: ticks since 2030-01-01T13:00:00\.000Z passed unseen/);
    assert.deepEqual(await seen('last'), [start + 5 * HOUR]);
    assert.deepEqual(await seen('all'), [1, 2, 3, 4, 5].map((n) => start + n * HOUR));
    assert.deepEqual(await seen('skip'), []);
    assert.equal((await seen('every')).length, 302);
    assert.equal(await second.stop(), 0);

    clock.set(start + 6 * HOUR + 55_000); // not yet a minute late
    const third = await begin('c');
    await settled(clock.redis, 'skip', start + 6 * HOUR);
    await settled(clock.redis, 'every', start + 6 * HOUR);
    assert.equal(await third.stop(), 0);

    clock.set(start + 3 * HOUR + 58_000); // back
    const before = (await jobs(clock.redis)).length;
    const fourth = await begin('d');
    await until('a minute to pass there', async () => await clock.now() > start + 3 * HOUR + 61_000);
    assert.equal((await jobs(clock.redis)).length, before);
    assert.equal(await fourth.stop(), 0);

    clock.set(start + 40 * HOUR + 1000); // 2,040 minutes later
    const fifth = await begin('e');
    const [, dropped] = await fifth.logged(/cron\.dropped: every: ticks since 2030-01-01T18:01:00\.000Z passed unseen; the newest 1000 fire, (\d+) are dropped/);
    assert.equal(Number(dropped), 1040);
    await settled(clock.redis, 'every', start + 40 * HOUR);
    const caught = (await seen('every')).slice(-1000);
    assert.deepEqual(caught, Array.from(caught, (_, i) => start + 40 * HOUR - (999 - i) * MINUTE));
    assert.equal((await seen('off')).length, 0);
    assert.equal(await fifth.stop(), 0);
}));

test('a full queue refuses the push: the tick is tried again with growing pauses and is not lost', withStage(async (stage) => {
    const clock = await shifted(stage);
    const start = Date.UTC(2030, 0, 1, 12);

    await clock.redis.call('RPUSH', 'lockstep:{default}:pending', '{"id":"in-the-way","kind":"noop"}');
    clock.set(start - 1000);
    const pool = await stage.pool(`redis: ${clock.url}\nqueues: {default: {max_length: 1}}\nschedules: {hourly: {cron: '@hourly', kind: noop}}`, { name: 'a', ...SCHEDULER });
    await pool.logged(/cron\.failed: hourly: pushing its job failed: .*again in 4s/);
    assert.match(await state(clock.redis, 'hourly'), new RegExp(`^firing ${start} `));
    clock.ahead(HOUR); // the next one is due meanwhile
    await clock.redis.call('DEL', 'lockstep:{default}:pending');
    await until('the tick that was refused', async () => ticksOf(await jobs(clock.redis), 'hourly').join() === String(start));
    await clock.redis.call('DEL', 'lockstep:{default}:pending');
    await settled(clock.redis, 'hourly', start + HOUR);
    assert.equal(await pool.stop(), 0);
}));

test('SIGHUP takes over changed schedules', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1\nschedules:\n  a: {every: 1s, kind: noop}\n  b: {every: 1s, kind: noop}');
    const redis = await pool.redis();
    const done = async (name) => Number(/^done (\d+) /.exec(await state(redis, name))?.[1] ?? 0);

    await until('ticks of both', async () => await done('a') && await done('b'));
    pool.configure('runners: 1\nschedules:\n  a: {every: 1s, kind: noop, enabled: false}\n  b: {every: 2s, kind: noop}\n  c: {every: 1s, kind: noop}');
    pool.signal('SIGHUP');
    await until('ticks of the new one', () => done('c'));
    const spec = await until('b under its new pace', async () => {
        const [, tick, which] = /^done (\d+) (\S+)$/.exec(await state(redis, 'b')) ?? [];
        return tick && Number(tick) % 2000 === 0 && which;
    });
    await until('more of it', async () => (await state(redis, 'b')).includes(spec) && await done('c') > await done('b'));
    assert.equal(await redis.call('HEXISTS', 'lockstep:{fleet}:cron', 'a'), 0);
    const run = JSON.parse(stage.cli(['cron', 'run', 'a', '--json', '--config', pool.config]).out);
    assert.equal(run.queue, 'default');
    const wrong = stage.cli(['cron', 'run', 'z', '--config', pool.config]);
    assert.equal(wrong.status, 1);
    assert.match(wrong.err, /there is no schedule 'z'/);
    writeFileSync(pool.config, 'schedules: {a: {cron: "0 0 30 2 *", kind: noop}}\n');
    pool.signal('SIGHUP');
    await pool.logged(/pool\.reload_failed.*this schedule never fires/);
    pool.configure('runners: 1');
    assert.equal(await pool.stop(), 0);
}));
