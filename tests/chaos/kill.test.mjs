// Runners die again and again under load; Redis dies; answers get lost. Counted at a receiver outside of everything: nothing is
// lost, nothing innocent ends in the dead list, and repeats are no more than was in flight when somebody died.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { drained, httpJob, pause, places, pushRaw, until, withStage } from '../support/stage.mjs';

const CONCURRENCY = 32;
const config = `runners: 2\nwatchdog: 2s\nlease: 4s\nbeat: 1s\nqueues: {default: {concurrency: ${CONCURRENCY}}}`;
const jobs = (url, count) => Array.from({ length: count }, (_, n) => httpJob(`${url}/x`, { id: `j${n}` }));

async function check(sink, redis, count, deaths) {
    const seen = await sink.count();
    const where = await places(redis);

    assert.equal(where.dead, 0, 'an innocent job ended in the dead list');
    assert.equal(seen.ids, count, 'jobs were lost');
    assert.ok(seen.repeated <= deaths * CONCURRENCY, `${seen.repeated} repeats of ${deaths} deaths`);
    return seen;
}

// Lets a stopped process go on; the letter of its state.
function wake(pid) {
    try {
        process.kill(pid, 'SIGCONT');
        return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0];
    } catch {
        return 'X';
    }
}

test('50,000 jobs while runners are killed and stopped again and again', { timeout: 110_000 }, withStage(async (stage, t) => {
    const total = 50_000;
    const pool = await stage.pool(config);
    const redis = await pool.redis();
    const sink = await stage.sink();
    let deaths = 0;
    let done = false;

    await pushRaw(redis, jobs(sink.url, total));
    const storm = (async () => {
        while (!done) {
            const runners = pool.children('runner');
            const victim = runners[Math.floor(Math.random() * runners.length)];
            if (victim) {
                try {
                    process.kill(victim, deaths % 5 === 4 ? 'SIGSTOP' : 'SIGKILL');
                    deaths++;
                } catch {
                    // it was quicker
                }
            }
            await pause(50 + Math.random() * 250);
        }
    })();
    await until('the work to be done', async () => (await sink.count()).ids === total, 90_000, 200);
    done = true;
    await storm;
    // The last ones that were stopped may go on: a pool ends with 0 only if each of its children can drain.
    await until('the runners to be awake', () => {
        const states = pool.children('runner').map(wake);
        return states.length > 0 && states.every((state) => /[RSD]/.test(state));
    }, 10_000);
    await drained(redis, 'default', 30_000);
    const seen = await check(sink, redis, total, deaths);
    t.diagnostic(`${deaths} deaths, ${seen.repeated} repeats, at most ${seen.most} deliveries of one job`);
    assert.equal(await pool.stop(), 0);
}));

test('Redis is killed and started again with its AOF: nothing is lost', { timeout: 60_000 }, withStage(async (stage, t) => {
    const total = 6000;
    const server = await stage.redis();
    const pool = await stage.pool(`redis: ${server.url}\n${config}`);
    const sink = await stage.sink(['--delay-ms', '5']);
    let redis = await stage.connect(server.socket);
    let kills = 0;

    await pushRaw(redis, jobs(sink.url, total));
    for (; kills < 3; kills++) {
        const before = (await sink.count()).ids;
        await until('progress', async () => (await sink.count()).ids > before + 300, 20_000);
        server.child.kill('SIGKILL');
        await server.child.ended;
        await pause(300);
        await server.restart();
    }
    await until('the work to be done', async () => (await sink.count()).ids === total, 40_000, 100);
    redis = await stage.connect(server.socket);
    await drained(redis, 'default', 30_000);
    const seen = await check(sink, redis, total, 2 * kills);
    t.diagnostic(`${kills} kills of Redis, ${seen.repeated} repeats`);
    assert.equal(await pool.stop(), 0);
}));

test('answers of Redis get lost again and again: nothing is lost, nothing runs twice', { timeout: 60_000 }, withStage(async (stage, t) => {
    const total = 5000;
    const server = await stage.redis();
    const sink = await stage.sink(['--delay-ms', '5']);
    const redis = await stage.connect(server.socket);
    const proxy = await stage.proxy(server.socket, () => 20_000 + Math.random() * 60_000);
    const pool = await stage.pool(`redis: unix://${proxy.socket}\n${config}`);

    await pushRaw(redis, jobs(sink.url, total));
    await until('the work to be done', async () => (await sink.count()).ids === total, 50_000, 100);
    await drained(redis, 'default', 30_000);
    const seen = await check(sink, redis, total, 0);
    t.diagnostic(`${proxy.cuts()} connections cut, ${seen.repeated} repeats`);
    assert.ok(proxy.cuts() > 5);
    proxy.open();
    assert.equal(await pool.stop(), 0);
}));

test('a runner sleeps past its lease and wakes up: its work was done by others, its late words change nothing', { timeout: 60_000 }, withStage(async (stage, t) => {
    const total = 3000;
    const pool = await stage.pool(`runners: 2\nwatchdog: 0\nlease: 1s\nbeat: 300ms\nqueues: {default: {concurrency: ${CONCURRENCY}}}`);
    const redis = await pool.redis();
    const sink = await stage.sink(['--delay-ms', '20']);

    await pushRaw(redis, jobs(sink.url, total));
    await until('progress', async () => (await sink.count()).ids > 200);
    const [sleeper] = pool.children('runner');
    process.kill(sleeper, 'SIGSTOP');
    await pool.logged(/worker\.stolen: .* whose lease ran out/);
    await until('the others to have done it', async () => (await sink.count()).ids === total, 30_000, 50);
    process.kill(sleeper, 'SIGCONT');
    await pool.logged(/worker\.(fenced|adopted)/);
    await drained(redis);
    const seen = await check(sink, redis, total, 1);
    t.diagnostic(`${seen.repeated} repeats`);
    assert.equal(await pool.stop(), 0);
}));

test('the whole pool is killed under load and started again: nothing is lost', { timeout: 60_000 }, withStage(async (stage, t) => {
    const total = 5000;
    const server = await stage.redis();
    const sink = await stage.sink(['--delay-ms', '5']);
    const redis = await stage.connect(server.socket);

    await pushRaw(redis, jobs(sink.url, total));
    for (let i = 0; i < 3; i++) {
        const pool = await stage.pool(`redis: ${server.url}\n${config}`, { name: `pool${i}` });
        const before = (await sink.count()).ids;
        await until('progress', async () => (await sink.count()).ids > before + 300, 20_000);
        for (const pid of [...pool.children(), pool.pid]) {
            process.kill(pid, 'SIGKILL');
        }
        await pool.ended();
    }
    const pool = await stage.pool(`redis: ${server.url}\n${config}`, { name: 'last', wait: false });
    await until('the work to be done', async () => (await sink.count()).ids === total, 40_000, 100);
    await drained(redis, 'default', 30_000);
    const seen = await check(sink, redis, total, 6);
    t.diagnostic(`${seen.repeated} repeats`);
    assert.equal(await pool.stop(), 0);
}));

test('a job that crashes its runner each time is dead after its chances, the others are done', { timeout: 60_000 }, withStage(async (stage) => {
    const pool = await stage.pool(config);
    const redis = await pool.redis();
    const sink = await stage.sink(['--delay-ms', '30']);
    let poisoned = true;
    const poison = await stage.receiver(() => {
        if (poisoned) { // the receiver does not know which runner asks, so both crash
            for (const pid of pool.children('runner')) {
                try {
                    process.kill(pid, 'SIGSEGV');
                } catch {
                    // gone
                }
            }
        }
        return null;
    });

    await pushRaw(redis, [...jobs(sink.url, 300), httpJob(`${poison.url}/x`, { id: 'poison' }), ...jobs(sink.url, 600).slice(300)]);
    const [letter] = await until('the poison to be dead', async () => {
        const list = await redis.call('LRANGE', 'lockstep:{default}:dead', 0, -1);
        return list.length > 0 && list.map((text) => JSON.parse(text));
    }, 50_000, 50);
    poisoned = false;
    assert.equal(letter.class, 'crash');
    assert.match(letter.error, /died \d+ times/);
    await until('the others', async () => (await sink.count()).ids === 600, 30_000, 50);
    await drained(redis);
    assert.equal((await places(redis)).dead, 1);
}));
