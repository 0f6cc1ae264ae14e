// A pool as its operator meets it: start, work, kill, reload, stop.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { drained, httpJob, pause, places, pushRaw, until, withStage } from '../support/stage.mjs';

test('a raw RPUSH is delivered, nothing stays in Redis, and SIGTERM ends the pool with 0', withStage(async (stage) => {
    const pool = await stage.pool();
    const redis = await pool.redis();
    const receiver = await stage.receiver();

    await redis.call('RPUSH', 'lockstep:{default}:pending', JSON.stringify({ kind: 'http', data: { url: `${receiver.url}/x`, body: { a: 1 } } }));
    await until('the delivery', () => receiver.seen.length === 1, 5000);
    assert.equal(receiver.seen[0].body, '{"a":1}');
    await drained(redis);
    const keys = await redis.call('KEYS', 'lockstep:{default}:*');
    assert.deepEqual(keys.filter((key) => !/:(workers|control|stats|stats:ring|fence|wake)$/.test(key)), []);
    assert.equal(await pool.stop(), 0);
    assert.equal(pool.count(/pool\.stopped: exit 0/), 1);
}));

test('a runner killed with SIGKILL: its jobs run again within 2 s, each and all', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1');
    const redis = await pool.redis();
    let holding = true;
    const delivered = new Set();
    const receiver = await stage.receiver((request, body) => {
        if (holding) {
            return null; // the first runner dies waiting
        }
        delivered.add(body);
        return 200;
    });

    await pushRaw(redis, Array.from({ length: 50 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await until('50 jobs in flight', () => receiver.seen.length === 50);
    holding = false;
    const [runner] = pool.children('runner');
    const killed = performance.now();
    process.kill(runner, 'SIGKILL');
    await until('all 50 to have run again', () => delivered.size === 50, 10_000);
    const took = performance.now() - killed;
    assert.ok(took < 2000, `took ${took} ms`);
    const now = await drained(redis);
    assert.equal(now.dead, 0);
    assert.equal(delivered.size, 50);
}));

test('SIGTERM: what is in flight is finished, what waits stays', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1\nqueues: {default: {concurrency: 10}}');
    const mine = await pool.redis();
    const receiver = await stage.receiver(async () => {
        await pause(700);
        return 200;
    });

    await pushRaw(mine, Array.from({ length: 30 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await until('10 jobs in flight', () => receiver.seen.length === 10);
    pool.signal('SIGTERM');
    assert.equal(await pool.ended(), 0);
    assert.equal(receiver.seen.length, 10);
    const again = await stage.pool('runners: 1', { name: 'pool' });
    const redisAgain = await again.redis();
    const now = await drained(redisAgain);
    assert.equal(now.dead, 0);
    assert.equal(receiver.seen.length, 30);
}));

test('SIGHUP replaces the runners one by one, loses nothing and reopens the log', withStage(async (stage) => {
    const pool = await stage.pool('runners: 2');
    const redis = await pool.redis();
    const receiver = await stage.receiver(async () => {
        await pause(20);
        return 200;
    });
    const before = pool.children('runner').sort();

    await pushRaw(redis, Array.from({ length: 2000 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await until('some work', () => receiver.seen.length > 100);
    renameSync(pool.logFile, `${pool.logFile}.1`);
    pool.signal('SIGHUP');
    await drained(redis);
    await until('two other runners', () => {
        const now = pool.children('runner').sort();
        return now.length === 2 && now.every((pid) => !before.includes(pid));
    });
    assert.equal(new Set(receiver.seen.map(({ body }) => body)).size, 2000);
    assert.equal(receiver.seen.length, 2000);
    assert.equal((await places(redis)).dead, 0);
    await until('the new log file', () => pool.log() !== '' && statSync(pool.logFile, { throwIfNoEntry: false }));
}));

test('SIGHUP takes over the number of runners', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1');

    const [before] = pool.children('runner');
    pool.configure('runners: 3');
    pool.signal('SIGHUP');
    await until('three runners', () => pool.children('runner').length === 3 && !pool.children('runner').includes(before));
    pool.configure('runners: 1\nnonsense: 1');
    pool.signal('SIGHUP');
    await pool.logged(/pool\.reload_failed: .*nonsense/);
    assert.equal(pool.children('runner').length, 3);
    pool.configure('runners: 1');
    pool.signal('SIGHUP');
    await until('one runner', () => pool.children('runner').length === 1);
}));

test('a stopped runner is killed by the watchdog and its jobs run elsewhere', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1\nwatchdog: 1s');
    const redis = await pool.redis();
    let holding = true;
    const receiver = await stage.receiver(() => (holding ? null : 200));
    const done = () => receiver.seen.length - 20;

    await pushRaw(redis, Array.from({ length: 20 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await until('20 jobs in flight', () => receiver.seen.length === 20);
    holding = false;
    process.kill(pool.children('runner')[0], 'SIGSTOP');
    await pool.logged(/child\.killed: runner 0 .*watchdog/);
    await until('all to have run again', () => done() >= 20, 5000);
    assert.equal((await drained(redis)).dead, 0);
}));

test('a second pool on the same state_dir is refused by name, the first goes on', withStage(async (stage) => {
    const first = await stage.pool();
    const second = await stage.pool('', { name: 'pool', wait: false });

    assert.equal(await second.ended(), 1);
    await first.logged(new RegExp(`pool\\.failed: state_dir '.*pool-state' is in use by another pool \\(pid ${first.pid}\\)`));
    const redis = await first.redis();
    assert.equal(await redis.call('PING'), 'PONG');
}));

test('the embedded Redis dies: it is started again and the jobs are still there', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1');
    const redis = await pool.redis();
    const receiver = await stage.receiver();
    const { pid } = stage.processes().find(({ command }) => command.includes('redis-server'));

    await redis.call('SET', 'before', 'yes');
    process.kill(pid, 'SIGKILL');
    await pool.logged('redis.restarted');
    const again = await pool.redis();
    assert.equal(await again.call('GET', 'before'), 'yes');
    await pushRaw(again, [httpJob(`${receiver.url}/x`, { n: 1 })]);
    await until('the delivery', () => receiver.seen.length === 1, 15_000);
}));

const asRoot = { skip: process.getuid() !== 0 && 'needs root' };

test('as PID 1 it reaps orphans that are not its own, and SIGTERM ends it', asRoot, withStage(async (stage, t) => {
    try {
        execFileSync('unshare', ['--pid', '--fork', 'true'], { stdio: 'ignore' });
    } catch {
        t.skip('no PID namespaces here');
        return;
    }
    const script = stage.path('orphan.sh');

    writeFileSync(script, '#!/bin/sh\nsetsid sleep 0.3 >/dev/null 2>&1 </dev/null &\n', { mode: 0o755 });
    const pool = await stage.pool(`runners: 1\nexec: {allow: ["${script}"]}`, { under: ['unshare', '--pid', '--fork', '--kill-child'] });
    const redis = await pool.redis();
    const done = async () => Number(await redis.call('HGET', 'lockstep:{default}:stats', 'done'));

    await pushRaw(redis, Array.from({ length: 5 }, () => ({ kind: 'exec', data: { command: script } })));
    await until('five commands', async () => (await done()) === 5);
    await pause(600);
    const master = stage.processes().find(({ command }) => command.startsWith('lockstep-worker: master')).pid;
    const zombies = readdirSync('/proc').filter((name) => {
        try {
            return /^\d+$/.test(name) && new RegExp(`\\) Z ${master} `).test(readFileSync(`/proc/${name}/stat`, 'latin1'));
        } catch {
            return false;
        }
    });
    assert.deepEqual(zombies, []);
    process.kill(master, 'SIGTERM');
    assert.equal(await pool.ended(), 0);
}));

test('started as root with `user`, it leaves root before it touches anything', asRoot, withStage(async (stage) => {
    const nobody = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }));

    chownSync(stage.dir, nobody, -1);
    const pool = await stage.pool('user: nobody\nrunners: 1');
    const uids = stage.processes().filter(({ command }) => /^(lockstep-worker|redis-server)/.test(command)).map(({ pid }) => Number(/^Uid:\t\d+\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]));
    assert.ok(uids.length >= 4);
    assert.deepEqual([...new Set(uids)], [nobody]);
    assert.equal(statSync(pool.stateDir).uid, nobody);
}));

test('a runner that reached max_jobs is replaced, successor first, and no job notices', withStage(async (stage) => {
    const pool = await stage.pool('runners: 1\nmax_jobs: 300');
    const redis = await pool.redis();
    const receiver = await stage.receiver(async () => {
        await pause(5);
        return 200;
    });

    await pushRaw(redis, Array.from({ length: 2000 }, (_, n) => httpJob(`${receiver.url}/x`, { n })));
    await drained(redis);
    assert.equal(receiver.seen.length, 2000);
    assert.equal(new Set(receiver.seen.map(({ body }) => body)).size, 2000);
    assert.ok(pool.count(/child\.replacing: runner 0/) >= 3);
    assert.equal(pool.count(/child\.died/), 0);
    assert.equal(pool.count(/child\.killed/), 0);
}));
