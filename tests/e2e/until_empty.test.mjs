// A pool that ends by itself: what it waits for, what it does not wait for, and how it says what came of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { httpJob, places, pushRaw, until, withStage } from '../support/stage.mjs';

// A Redis of the test's own, so that it can be looked at when the pool has ended.
async function prepare(stage, config = '') {
    const server = await stage.redis();
    const redis = await stage.connect(server.socket);
    const run = (...args) => stage.pool(`redis: ${server.url}\nrunners: 1\n${config}`, { wait: false, args: ['--until-empty', ...args] });
    return { server, redis, run, env: { LOCKSTEP_REDIS: server.url } };
}

test('it works off what waits, in all queues, what is delayed and what is tried again, then ends with 0', withStage(async (stage) => {
    const { redis, run, env } = await prepare(stage, 'queues: {default: {backoff: {base: 50ms, jitter: none}}, other: {}}');
    const failures = new Map([['/fails', 2]]);
    const receiver = await stage.receiver((request) => {
        const left = failures.get(request.url) ?? 0;
        failures.set(request.url, left - 1);
        return left > 0 ? 500 : 200;
    });

    await pushRaw(redis, Array.from({ length: 50 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await pushRaw(redis, [httpJob(`${receiver.url}/other`, {})], 'other');
    await pushRaw(redis, [httpJob(`${receiver.url}/fails`, {})]);
    for (const words of [['--delay', '700ms'], ['--key', 'k']]) {
        assert.equal(stage.cli(['push', 'http', '--data', JSON.stringify({ url: `${receiver.url}/x` }), ...words], { env }).status, 0);
    }
    const pool = await run();
    assert.equal(await pool.ended(), 0, pool.log());
    assert.equal(receiver.seen.length, 50 + 1 + 3 + 2);
    assert.deepEqual([(await places(redis)).left, (await places(redis, 'other')).left], [0, 0]);
    assert.match(pool.log(), /pool\.empty: nothing is left to do; 0 jobs died/);
}));

test('an empty queue ends it at once', withStage(async (stage) => {
    const { run } = await prepare(stage);
    const began = performance.now();
    const pool = await run('--timeout', '30s');

    assert.equal(await pool.ended(), 0);
    assert.ok(performance.now() - began < 15_000);
}));

test('jobs that die meanwhile make it exit 1 and name the command; those that were dead before do not', withStage(async (stage) => {
    const { redis, run } = await prepare(stage);
    const receiver = await stage.receiver(() => 404);

    await redis.call('HINCRBY', 'lockstep:{default}:stats', 'dead', 7); // seven died in earlier times
    await pushRaw(redis, [httpJob(`${receiver.url}/x`, {}), { kind: 'noop' }]);
    const first = await run();
    assert.equal(await first.ended(), 1);
    assert.match(first.log(), /lockstep-worker: 1 jobs died meanwhile\nhint: 'lockstep dead list' shows why/);
    await pushRaw(redis, [{ kind: 'noop' }]);
    const second = await run();
    assert.equal(await second.ended(), 0);
}));

test('--timeout ends it in any case and names what is left; jobs scheduled for later do not hold it, retries do', withStage(async (stage) => {
    const { redis, run, env } = await prepare(stage);

    assert.equal(stage.cli(['push', 'noop', '--delay', '1h'], { env }).status, 0);
    assert.equal(stage.cli(['push', 'noop', '--delay', '1h', '--key', 'k'], { env }).status, 0);
    assert.equal(await (await run('--timeout', '60s')).ended(), 0);
    assert.equal((await places(redis)).delayed, 2);

    // One that was tried, then one whose key says so.
    const later = Date.now() + 3_600_000;
    const tried = '{"id":"tried","kind":"noop","attempt":1}';
    await redis.call('ZADD', 'lockstep:{default}:delayed', later, tried);
    const plain = await run('--timeout', '1s');
    assert.equal(await plain.ended(), 1);
    assert.match(plain.log(), /not empty after 1s: queue 'default': jobs wait for their next attempt\nhint: 'lockstep queue list'/);
    await redis.call('ZREM', 'lockstep:{default}:delayed', tried);
    await redis.call('HSET', 'lockstep:{default}:keys', 'k', `retrying ${later} normal`);
    assert.equal(await (await run('--timeout', '1s')).ended(), 1);

    // Paused: said so.
    await redis.call('DEL', 'lockstep:{default}:delayed', 'lockstep:{default}:keys', 'lockstep:{default}:bodies');
    await pushRaw(redis, [{ kind: 'noop' }]);
    assert.equal(stage.cli(['queue', 'pause', 'default'], { env }).status, 0);
    const paused = await run('--timeout', '500ms');
    assert.equal(await paused.ended(), 1);
    assert.match(paused.log(), /queue 'default' \(it is paused\): 1 wait, 0 run, 0 are delayed/);
}));

test('with Redis away it says so and exits 1', withStage(async (stage) => {
    const { server, run } = await prepare(stage);

    server.child.kill('SIGKILL');
    const pool = await run('--timeout', '1s');
    assert.equal(await pool.ended(), 1);
    assert.match(pool.log(), /not empty after 1s: redis is away/);
}));

test('a scheduler that dies meanwhile is replaced and goes on watching', withStage(async (stage) => {
    const { redis, run } = await prepare(stage);
    let answer;
    const receiver = await stage.receiver((request, body, response) => {
        answer = () => response.end('{}');
        return null;
    });

    await pushRaw(redis, [httpJob(`${receiver.url}/x`, {})]);
    const pool = await run();
    await until('the request', () => receiver.seen.length === 1);
    process.kill(pool.children('scheduler')[0], 'SIGKILL');
    await pool.logged(/scheduler\.started/, 2);
    answer();
    assert.equal(await pool.ended(), 0);
}));

test('schedules do not keep it going', withStage(async (stage) => {
    const { run } = await prepare(stage, 'schedules: {pulse: {every: 1s, kind: noop}, yearly: {cron: "0 0 1 1 *", kind: noop}}');

    assert.equal(await (await run('--timeout', '30s')).ended(), 0);
}));

test('misuse is named', withStage(async (stage) => {
    for (const [words, why] of [
        [['up', '--until-empty', '--role', 'runner'], /needs a whole pool/],
        [['up', '--timeout', '5s'], /goes with '--until-empty'/],
        [['up', '--until-empty', '--timeout', 'soon'], /'--timeout' cannot be 'soon'/],
    ]) {
        const run = stage.cli(words);
        assert.equal(run.status, 2);
        assert.match(run.err, why);
    }
}));
