// The scheduler between pools: one tick for the fleet, the dead of another host, one leader.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { httpJob, pause, places, until, withStage } from '../support/stage.mjs';

const SYNC = (stage, url) => `accounts: {shop: {platform: woocommerce, url: "${url}", consumer_key: ck, consumer_secret: cs}}
store: sqlite:${stage.path('shop.db')}
syncs: {products: {account: shop, table: products, every: 1s, scan: 0, fields: {name: {}}}}`;

test('two schedulers, one schedule: each tick is pushed once, whoever dies', withStage(async (stage) => {
    const server = await stage.redis();
    const config = `redis: ${server.url}\n${SYNC(stage, 'http://127.0.0.1:9')}`;
    const options = { wait: false, args: ['--role', 'scheduler'] };
    const redis = await stage.connect(server.socket);

    writeFileSync(stage.path('shop.db'), '');
    const first = await stage.pool(config, { name: 'a', ...options });
    const second = await stage.pool(config, { name: 'b', ...options });
    await first.logged('scheduler.started');
    await second.logged('scheduler.started');
    const stats = () => redis.hash('lockstep:{default}:stats');
    const pushes = async () => Number((await stats()).pushed ?? 0) + Number((await stats()).coalesced ?? 0);
    // Ticks are moments, a second apart here.
    const tick = async () => Number((/^done (\d+) /.exec(await redis.call('HGET', 'lockstep:{fleet}:cron', 'delta/products')) ?? [])[1]) / 1000;
    // Pushes and ticks at one moment between two ticks.
    const sample = () => until('a moment between ticks', async () => {
        const before = await tick();
        const all = await pushes();
        return before > 0 && before === (await tick()) && { pushes: all, tick: before };
    });
    const before = await sample();
    await until('several ticks', async () => (await tick()) >= before.tick + 4);
    const between = await sample();
    assert.equal(between.pushes - before.pushes, between.tick - before.tick);
    process.kill(first.pid, 'SIGKILL');
    await until('ticks without the first', async () => (await tick()) >= between.tick + 3);
    const body = JSON.parse(await redis.call('HGET', 'lockstep:{default}:bodies', 'shop/delta/products'));
    assert.equal(body.kind, 'delta');
    assert.equal(body.account, 'shop');
    assert.deepEqual(body.data, { sync: 'products' });
    assert.match(body.id, /^delta-products-\d+$/);
    const [lane] = [await redis.call('LLEN', 'lockstep:{default}:pending')];
    assert.equal(lane, 2); // one pointer for all deltas, one for the gc
    assert.equal(await second.stop(), 0);
}));

test('claims of a worker on another host are taken over when its lease is over, not before', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1\nlease: 2s\nbeat: 500ms');
    const redis = await pool.redis();
    const receiver = await stage.receiver();
    const now = Number((await redis.call('TIME'))[0]) * 1000;
    const envelope = (n) => JSON.stringify({ id: `job-${n}`, ...httpJob(`${receiver.url}/x`, { n }) });

    await redis.call('HSET', 'lockstep:{default}:running:elsewhere-1-dead', '11', envelope(1));
    await redis.call('ZADD', 'lockstep:{default}:workers', now + 1000, 'elsewhere-1-dead');
    await redis.call('HSET', 'lockstep:{default}:running:elsewhere-2-alive', '12', envelope(2));
    await redis.call('ZADD', 'lockstep:{default}:workers', now + 600_000, 'elsewhere-2-alive');
    await until('the dead one\'s job', () => receiver.seen.length === 1, 15_000);
    assert.equal(receiver.seen[0].body, '{"n":1}');
    await pause(2500);
    assert.equal(receiver.seen.length, 1);
    assert.equal(await redis.call('HLEN', 'lockstep:{default}:running:elsewhere-2-alive'), 1);
    assert.equal((await places(redis)).dead, 0);
}));

test('the leader dies: another one sends the alerts within its lease', { timeout: 90_000 }, withStage(async (stage) => {
    const server = await stage.redis();
    const hook = await stage.receiver();
    const config = `redis: ${server.url}\nalerts: [{to: "${hook.url}/a"}]\nalert_rules: {tick: 200ms}`;
    const options = { wait: false, args: ['--role', 'scheduler'] };
    const redis = await stage.connect(server.socket);
    const first = await stage.pool(config, { name: 'a', ...options });

    await first.logged('leader.taken');
    const second = await stage.pool(config, { name: 'b', ...options });
    await second.logged('scheduler.started');
    assert.equal(second.count(/leader\.taken/), 0);
    process.kill(first.pid, 'SIGKILL');
    await redis.call('HSET', 'lockstep:{default}:stats', 'dead', 3);
    await redis.call('HSET', 'lockstep:{default}:dead:groups', 'abc', `3 ${Date.now()} ${Date.now()} it broke`);
    await second.logged('leader.taken', 1, 45_000);
    await until('the notice', () => hook.seen.length === 1);
    const notice = JSON.parse(hook.seen[0].body);
    assert.equal(notice.count, 3);
    assert.match(notice.details, /it broke/);
    assert.equal(await second.stop(), 0);
    assert.equal(await redis.call('EXISTS', 'lockstep:{fleet}:leader'), 0); // it stepped down
}));
