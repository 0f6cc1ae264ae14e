// The admin server: numbers, health, pushing over HTTP, and clients that do not behave.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { CLI, httpJob, pause, pushRaw, until, withStage } from '../support/stage.mjs';

const address = async (pool) => (await pool.logged(/admin\.listening: (http:\/\/[\d.]+:\d+)/))[1];
const CONFIG = 'runners: 1\nadmin: {listen: "127.0.0.1:0", token: s3cret}';

// {name: {type, help, samples: [[labels, value]]}}; throws on anything that is not the text format.
function parseMetrics(text) {
    const families = {};
    let current = null;
    for (const line of text.split('\n').filter(Boolean)) {
        const head = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
        if (head) {
            current = head[2];
            families[current] ??= { samples: [] };
            families[current][head[1].toLowerCase()] = head[3];
            continue;
        }
        const sample = /^([a-z_]+)(?:\{(.*)\})? (-?[\d.e+]+|NaN)$/.exec(line);
        assert.ok(sample, `not a sample: ${line}`);
        assert.equal(sample[1], current, 'a sample outside of its family');
        families[current].samples.push([sample[2] ?? '', Number(sample[3])]);
    }
    return families;
}

test('metrics are well-formed and count what happened', withStage(async (stage) => {
    const pool = await stage.pool(CONFIG);
    const base = await address(pool);
    const redis = await pool.redis();
    const receiver = await stage.receiver();

    await pushRaw(redis, Array.from({ length: 20 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await redis.call('RPUSH', 'lockstep:{default}:pending', 'rubbish');
    const families = await until('20 done', async () => {
        const response = await fetch(`${base}/metrics`);
        assert.equal(response.status, 200);
        assert.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
        const found = parseMetrics(await response.text());
        const done = found.lockstep_events_total?.samples.find(([labels]) => labels === 'queue="default",event="done"');
        return done?.[1] === 20 && found.lockstep_queue_dead.samples[0][1] === 1 && found;
    }, 10_000, 200);
    for (const [name, family] of Object.entries(families)) {
        assert.ok(family.help && family.type, `${name} lacks HELP or TYPE`);
        assert.equal(family.type === 'counter', name.endsWith('_total'), name);
    }
    assert.equal(families.lockstep_redis_up.samples[0][1], 1);
    assert.equal(families.lockstep_runners.samples[0][1], 1);
    assert.equal(families.lockstep_queue_waiting.samples.length, 3);
}));

test('numbers belong to their queue, also while Redis learns the scripts', withStage(async (stage) => {
    const server = await stage.redis();
    const pool = await stage.pool(`redis: ${server.url}\n${CONFIG}\nqueues: {a: {}, b: {}}`);
    const base = await address(pool);
    const redis = await stage.connect(server.socket);

    for (let round = 0; round < 3; round++) {
        await redis.call('RPUSH', 'lockstep:{b}:dead', 'x');
        await redis.call('SCRIPT', 'FLUSH');
        // One of the two scripts of a look is known again, the other is not.
        execFileSync(CLI, ['worker', 'list'], { env: { ...process.env, LOCKSTEP_REDIS: server.url } });
        await pause(600); // older than a snapshot may be
        const dead = parseMetrics(await (await fetch(`${base}/metrics`)).text()).lockstep_queue_dead.samples;
        assert.deepEqual(Object.fromEntries(dead), { 'queue="default"': 0, 'queue="a"': 0, 'queue="b"': round + 1 });
    }
}));

test('readyz follows Redis, healthz does not', withStage(async (stage) => {
    const server = await stage.redis();
    const pool = await stage.pool(`redis: ${server.url}\n${CONFIG}`);
    const base = await address(pool);

    await until('ready', async () => (await fetch(`${base}/readyz`)).status === 200);
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    server.child.kill('SIGKILL');
    await until('not ready', async () => (await fetch(`${base}/readyz`)).status === 503);
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    assert.match(await (await fetch(`${base}/metrics`)).text(), /^lockstep_redis_up 0$/m);
    await server.restart();
    await until('ready again', async () => (await fetch(`${base}/readyz`)).status === 200);
}));

test('POST /v1/jobs pushes with the token only, once an id, and says what is wrong', withStage(async (stage) => {
    const pool = await stage.pool(CONFIG);
    const base = await address(pool);
    const receiver = await stage.receiver();
    const post = (body, { token = 's3cret', query = '' } = {}) => fetch(`${base}/v1/jobs${query}`, { method: 'POST', headers: token ? { authorization: `Bearer ${token}` } : {}, body: typeof body === 'string' ? body : JSON.stringify(body) });

    assert.equal((await post(httpJob(`${receiver.url}/x`, {}), { token: null })).status, 401);
    assert.equal((await post(httpJob(`${receiver.url}/x`, {}), { token: 's3cres' })).status, 401);
    const first = await post({ ...httpJob(`${receiver.url}/x`, { n: 1 }), id: 'mine-1' });
    assert.equal(first.status, 202);
    assert.deepEqual(await first.json(), { id: 'mine-1', queue: 'default', result: 'pushed' });
    const second = await post({ ...httpJob(`${receiver.url}/x`, { n: 1 }), id: 'mine-1' });
    assert.equal(second.status, 200);
    assert.equal((await second.json()).result, 'known');
    await until('the delivery', () => receiver.seen.length === 1);
    const unknown = await post({ kind: 'htpt', data: {} });
    assert.equal(unknown.status, 400);
    assert.match((await unknown.json()).error, /unknown kind 'htpt'/);
    assert.equal((await post('{"kind":')).status, 400);
    assert.equal((await post(httpJob(`${receiver.url}/x`, {}), { query: '?queue=nowhere' })).status, 400);
    assert.equal((await post(httpJob(`${receiver.url}/x`, { big: 'x'.repeat(70_000) }))).status, 413);
    assert.equal((await fetch(`${base}/v1/jobs`)).status, 405);
    assert.equal((await fetch(`${base}/nothing`)).status, 404);
    const queues = await (await fetch(`${base}/v1/queues`, { headers: { authorization: 'Bearer s3cret' } })).json();
    assert.equal(queues.queues[0].name, 'default');
    assert.equal(receiver.seen.length, 1);
}));

test('without a token the API is closed, and an address in use ends the pool with its name', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1\nadmin: {listen: "127.0.0.1:0"}');
    const base = await address(pool);

    assert.equal((await fetch(`${base}/v1/queues`)).status, 403);
    assert.equal((await fetch(`${base}/metrics`)).status, 200);
    const second = await stage.pool(`runners: 1\nadmin: {listen: "${base.slice(7)}"}`, { name: 'second', wait: false });
    assert.equal(await second.ended(), 1);
    assert.match(second.log(), new RegExp(`cannot listen on '${base.slice(7)}'.*in use`));
}));

test('clients that trickle, send two lengths or hang up are gone soon and hold nobody up', withStage(async (stage) => {
    const pool = await stage.pool(CONFIG);
    const base = await address(pool);
    const port = Number(new URL(base).port);
    const tricklers = Array.from({ length: 60 }, () => {
        const socket = net.connect(port, '127.0.0.1');
        const ended = new Promise((resolve) => socket.on('close', resolve));
        socket.on('error', () => {});
        socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n');
        const timer = setInterval(() => socket.write('X'), 500);
        return { socket, ended: ended.then(() => clearInterval(timer)) };
    });

    await pause(300);
    const began = performance.now();
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    assert.ok(performance.now() - began < 1500);
    const twice = net.connect(port, '127.0.0.1');
    let answer = '';
    twice.on('data', (chunk) => {
        answer += chunk;
    });
    twice.write('POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\nAuthorization: Bearer s3cret\r\n\r\n{}x');
    await until('the refusal', () => answer.startsWith('HTTP/1.1 400'));
    twice.destroy();
    for (let i = 0; i < 50; i++) {
        const rude = net.connect(port, '127.0.0.1', () => {
            rude.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
            rude.destroy();
        });
        rude.on('error', () => {});
        await pause(2);
    }
    await Promise.all(tricklers.map(({ ended }) => ended));
    assert.ok(performance.now() - began < 15_000);
    assert.equal((await fetch(`${base}/metrics`)).status, 200);
    assert.equal(await pool.stop(), 0);
}));
