// Pushing over HTTP: how jobs of one key meet, waiting for the end, refusals.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { httpJob, until, withStage } from '../support/stage.mjs';

const CONFIG = 'runners: 1\nadmin: {listen: "127.0.0.1:0", token: s3cret}';

async function prepare(stage, config = '') {
    const pool = await stage.pool(`${CONFIG}\n${config}`);
    const base = (await pool.logged(/admin\.listening: (http:\/\/[\d.]+:\d+)/))[1];
    const post = async (job, query = '') => {
        const response = await fetch(`${base}/v1/jobs${query}`, { method: 'POST', headers: { authorization: 'Bearer s3cret' }, body: typeof job === 'string' ? job : JSON.stringify(job) });
        return { code: response.status, ...(await response.json()) };
    };
    return { pool, base, post, redis: await pool.redis(), env: { LOCKSTEP_REDIS: `unix://${pool.socket}` } };
}

test('?wait= answers with the end of the job: done, dead, or queued when it takes longer', withStage(async (stage) => {
    const { post } = await prepare(stage);
    let release = () => {};
    const receiver = await stage.receiver((request, body, response) => {
        if (request.url === '/slow') {
            release = () => response.end('{}');
            return null;
        }
        return request.url === '/gone' ? 410 : 200;
    });

    const done = await post({ kind: 'noop', id: 'n1' }, '?wait=10s');
    assert.deepEqual(done, { code: 200, id: 'n1', queue: 'default', state: 'done', result: null });
    const dead = await post(httpJob(`${receiver.url}/gone`, {}), '?wait=10s');
    assert.deepEqual([dead.code, dead.state, dead.class], [200, 'dead', 'permanent']);
    assert.match(dead.error, /410/);
    const began = performance.now();
    const slow = await post({ ...httpJob(`${receiver.url}/slow`, {}), id: 's1' }, '?wait=300ms');
    assert.ok(performance.now() - began >= 290);
    assert.deepEqual(slow, { code: 202, id: 's1', queue: 'default', state: 'queued', status: 'running' });
    // The same id again waits for the same job.
    const again = post({ ...httpJob(`${receiver.url}/slow`, {}), id: 's1' }, '?wait=20s');
    release();
    assert.deepEqual([(await again).code, (await again).state], [200, 'done']);
    assert.equal(receiver.seen.filter(({ url }) => url === '/slow').length, 1);
    // One that was pushed without a state is known, and there is nothing to wait for.
    assert.equal((await post({ kind: 'noop', id: 'plain' })).result, 'pushed');
    assert.deepEqual(await post({ kind: 'noop', id: 'plain' }, '?wait=20s'), { code: 200, id: 'plain', queue: 'default', state: 'known' });
}));

test('a waiting request holds nobody up, and sixty of them are answered', withStage(async (stage) => {
    const { post, base } = await prepare(stage);
    let release;
    const gate = new Promise((resolve) => {
        release = resolve;
    });
    const receiver = await stage.receiver(() => gate.then(() => 200));
    const waiting = Array.from({ length: 60 }, (_, n) => post(httpJob(`${receiver.url}/x`, { n }), '?wait=30s'));

    await until('60 in flight', () => receiver.seen.length === 60);
    const began = performance.now();
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    assert.ok(performance.now() - began < 1000);
    release();
    assert.ok((await Promise.all(waiting)).every(({ code, state }) => code === 200 && state === 'done'));
}));

test('the pool stops while a request waits: it is answered', withStage(async (stage) => {
    const { pool, post } = await prepare(stage, 'shutdown_grace: 3s');
    const receiver = await stage.receiver(() => null);
    const waiting = post(httpJob(`${receiver.url}/x`, {}), '?wait=60s').catch((error) => ({ error }));

    await until('the request', () => receiver.seen.length === 1);
    await pool.stop();
    const answer = await waiting;
    assert.ok(answer.code === 503 || answer.error, JSON.stringify(answer));
}));

test('modes and debounce say how jobs of one key meet', withStage(async (stage) => {
    const { post, redis, env } = await prepare(stage);
    const job = { kind: 'noop', key: 'k' };

    assert.equal(stage.cli(['queue', 'pause', 'default'], { env }).status, 0);
    assert.deepEqual([(await post(job)).result, (await post(job)).result], ['pushed', 'coalesced']);
    assert.deepEqual([(await post(job, '?mode=keep')).code, (await post(job, '?mode=keep')).result], [200, 'kept']);
    const rejected = await post(job, '?mode=reject');
    assert.equal(rejected.code, 409);
    assert.match(rejected.error, /key waits or runs/);
    assert.equal((await post({ ...job, key: 'd' }, '?debounce=1h&max_wait=2h')).code, 202);
    assert.equal(await redis.call('ZCARD', 'lockstep:{default}:delayed'), 1);
    for (const [query, why] of [
        ['?mode=first', /unknown mode 'first'/], ['?delay=-1s', /delay '-1s' is no duration/], ['?debounce=1s&delay=1s', /either/],
        ['?max_wait=1s', /without a debounce/], ['?wait=2h', /too long/], ['?wait=soon', /wait 'soon' is no duration/],
    ]) {
        const bad = await post(job, query);
        assert.equal(bad.code, 400, query);
        assert.match(bad.error, why);
    }
    assert.match((await post({ kind: 'noop' }, '?mode=keep')).error, /without a key/);
    assert.match((await post({ kind: 'noop', key: 'k'.repeat(513) })).error, /'key' has 513 bytes, 512 are allowed/);
    assert.match((await post({ kind: 'noop', priority: 'urgent' })).error, /priority/);
}));

test('a full queue and one that is being drained refuse with 503 and the reason', withStage(async (stage) => {
    const { post, env, redis } = await prepare(stage, 'queues: {small: {max_length: 1}}');

    assert.equal(stage.cli(['queue', 'pause', 'small'], { env }).status, 0);
    assert.equal((await post({ kind: 'noop' }, '?queue=small')).code, 202);
    const full = await post({ kind: 'noop' }, '?queue=small');
    assert.equal(full.code, 503);
    assert.match(full.error, /queue 'small': the queue is full: 1 jobs wait, 1 are allowed/);
    assert.equal(stage.cli(['queue', 'drain', 'default', '--reason', 'deploy'], { env }).status, 0);
    const closed = await post({ kind: 'noop' });
    assert.equal(closed.code, 503);
    assert.match(closed.error, /queue 'default'.*drained.*deploy/);
    assert.equal(await redis.call('LLEN', 'lockstep:{default}:pending'), 0);
}));
