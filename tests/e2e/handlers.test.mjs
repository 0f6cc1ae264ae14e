// Job kinds of a shared object, and commands, in a pool: what a kill, a crash and a redeploy make of them.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BUILD, drained, pushRaw, until, withStage } from '../support/stage.mjs';

const OBJECT = join(BUILD, 'tests/objects/test_object.so');
const handlers = (...kinds) => `handlers: {${kinds.map((kind) => `${kind}: {library: ${OBJECT}, timeout: 0}`).join(', ')}}\n`;
const notes = (stage) => {
    const file = stage.path('notes');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
};
const noted = (stage, line, times = 1) => until(`${times} times '${line}'`, () => notes(stage).filter((note) => note === line).length >= times);
const progress = async (redis) => (await redis.call('HVALS', 'lockstep:{default}:progress'))[0] ?? '';
const isAlive = (pid) => {
    try {
        return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
        return false;
    }
};

test('a runner killed with SIGKILL: the handler goes on from its last checkpoint', withStage(async (stage) => {
    const pool = await stage.pool(`runners: 1\n${handlers('t-pages')}`, { env: { LS_TEST_NOTES: stage.path('notes') } });
    const redis = await pool.redis();

    await pushRaw(redis, [{ id: 'book', kind: 't-pages', data: { page: 0 } }]);
    await noted(stage, 'began 0');
    await until('page 5 to be shown', async () => (await progress(redis)) === '5 10 pages');
    process.kill(pool.children('runner')[0], 'SIGKILL');
    await noted(stage, 'began 5');
    const now = await drained(redis);
    assert.equal(now.dead, 0);
    assert.deepEqual(notes(stage), ['began 0', 'began 5']);
}));

test('a redeploy: the handler that does not stop is left behind, its job goes on in the new runner', withStage(async (stage) => {
    const pool = await stage.pool(`runners: 1\nshutdown_grace: 1s\n${handlers('t-pages')}`, { env: { LS_TEST_NOTES: stage.path('notes') } });
    const redis = await pool.redis();
    const [before] = pool.children('runner');

    await pushRaw(redis, [{ id: 'book', kind: 't-pages', data: { page: 0 } }]);
    await until('page 5 to be shown', async () => (await progress(redis)) === '5 10 pages');
    pool.signal('SIGHUP');
    await noted(stage, 'began 5');
    await until('the old runner to end', () => !isAlive(before));
    const now = await drained(redis);
    assert.equal(now.dead, 0);
    assert.equal(await pool.stop(), 0);
    assert.equal(pool.count(/child\.died/), 0);
}));

test('a handler that crashes: its job dies alone, with its crashes counted', withStage(async (stage) => {
    const pool = await stage.pool(`runners: 2\nqueues: {default: {backoff: {base: 50ms, cap: 100ms}}}\n${handlers('t-crash', 't-fail')}`);
    const redis = await pool.redis();

    await pushRaw(redis, [
        ...Array.from({ length: 50 }, () => ({ kind: 't-fail', data: { how: 0 } })),
        { id: 'bad', kind: 't-crash', data: {} },
        ...Array.from({ length: 50 }, () => ({ kind: 't-fail', data: { how: 0 } })),
    ]);
    const now = await until('the job to be dead', async () => {
        const [letter] = await redis.call('LRANGE', 'lockstep:{default}:dead', 0, 0);
        return letter && JSON.parse(letter);
    }, 60_000);
    assert.equal(now.id, 'bad');
    assert.equal(now.why, 'crashes');
    const end = await drained(redis);
    assert.equal(end.dead, 1);
}));

test('a runner killed with SIGKILL takes the whole tree of its command along', withStage(async (stage) => {
    const script = stage.path('tree.sh');
    writeFileSync(script, '#!/bin/sh\ncd "$(dirname "$0")"\n'
        + 'sh -c \'sleep 601 & echo $! >>pids; wait\' & echo $! >>pids\n'
        + 'setsid sh -c \'echo $$ >>pids; exec sleep 602\' & sleep 0.2; echo $$ >>pids; [ -e again ] || wait\n', { mode: 0o755 });
    const pool = await stage.pool(`runners: 1\nexec: {allow: ["${script}"]}`);
    const redis = await pool.redis();
    const pids = () => (existsSync(stage.path('pids')) ? readFileSync(stage.path('pids'), 'utf8').trim().split('\n').map(Number) : []);

    await pushRaw(redis, [{ kind: 'exec', data: { command: script } }]);
    const tree = await until('four processes', () => pids().length >= 4 && pids());
    assert.ok(tree.every(isAlive));
    writeFileSync(stage.path('again'), ''); // the second run ends at once
    process.kill(pool.children('runner')[0], 'SIGKILL');
    await until('all four to be gone', () => !tree.some(isAlive));
    const now = await drained(redis);
    assert.equal(now.dead, 0);
    await until('the second tree to be gone', () => !pids().some(isAlive));
}));

test('a kind of the configuration is taken over HTTP, others are not', withStage(async (stage) => {
    const pool = await stage.pool(`runners: 1\nadmin: {listen: "127.0.0.1:0", token: s3cret}\n${handlers('t-fail')}`);
    const base = (await pool.logged(/admin\.listening: (http:\/\/[\d.]+:\d+)/))[1];
    const redis = await pool.redis();
    const push = async (kind) => (await fetch(`${base}/v1/jobs`, { method: 'POST', headers: { authorization: 'Bearer s3cret' }, body: JSON.stringify({ kind, data: { how: 3 } }) })).status;

    assert.equal(await push('t-other'), 400);
    assert.ok([200, 201, 202].includes(await push('t-fail')));
    const letter = await until('the letter', async () => (await redis.call('LRANGE', 'lockstep:{default}:dead', 0, 0))[0]);
    assert.equal(JSON.parse(letter).error, 'never 3');
}));

test('an object that cannot be served ends the pool with the reason', withStage(async (stage) => {
    const pool = await stage.pool('handlers: {mine: {library: ./nothing.so}}', { wait: false });

    assert.notEqual(await pool.ended(), 0);
    assert.match(pool.log(), /handler 'mine' of '.*\/nothing\.so': cannot be loaded/);
}));
