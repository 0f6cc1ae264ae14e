// What a pool will not start on: each a clear sentence that names the thing and the remedy.
import assert from 'node:assert/strict';
import net from 'node:net';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { freePort, httpJob, pause, pushRaw, until, withStage } from '../support/stage.mjs';

describe('refusals', { concurrency: 4 }, () => {
    test('Redis that cannot be reached: said once with its address, and the pool starts when it comes', withStage(async (stage) => {
        const port = await freePort();
        const pool = await stage.pool(`redis: redis://127.0.0.1:${port}`, { wait: false });

        await pool.logged(new RegExp(`redis\\.(down|lost): .*127\\.0\\.0\\.1:${port}`));
        await pause(500);
        assert.equal(pool.child.exitCode, null);
        await stage.redis({ port });
        await pool.ready();
        assert.equal(await pool.stop(), 0);
    }));

    test('a wrong password ends the pool with 1', withStage(async (stage) => {
        const port = await freePort();
        const server = await stage.redis({ port, args: ['--requirepass', 'right'] });

        assert.ok(server);
        const pool = await stage.pool(`redis: redis://:wrong@127.0.0.1:${port}`, { wait: false });
        assert.equal(await pool.ended(), 1);
        assert.match(pool.log(), /pool\.failed: .*(password|WRONGPASS|credentials)/i);
        assert.doesNotMatch(pool.log(), /wrong@|:wrong/);
    }));

    test('an eviction policy that may drop jobs ends the pool with 1 and names noeviction', withStage(async (stage) => {
        const server = await stage.redis({ args: ['--maxmemory-policy', 'allkeys-lru', '--maxmemory', '100mb'] });
        const pool = await stage.pool(`redis: ${server.url}`, { wait: false });

        assert.equal(await pool.ended(), 1);
        assert.match(pool.log(), /pool\.failed: .*allkeys-lru/);
        assert.match(pool.log(), /noeviction/);
    }));

    test('a Redis that is too old ends the pool with 1 and names 6.2', withStage(async (stage) => {
        const old = net.createServer((socket) => {
            socket.on('error', () => {});
            socket.on('data', (chunk) => {
                for (const [, verb] of chunk.toString().matchAll(/\*\d+\r\n\$\d+\r\n([A-Za-z]+)\r\n/g)) {
                    const info = '# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\nrun_id:abc\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\n# Replication\r\nrole:master\r\n';
                    socket.write(verb.toUpperCase() === 'INFO' ? `$${info.length}\r\n${info}\r\n` : verb.toUpperCase() === 'HELLO' ? '-ERR unknown command `HELLO`\r\n' : '+OK\r\n');
                }
            });
        });
        await new Promise((resolve) => old.listen(0, '127.0.0.1', resolve));
        const pool = await stage.pool(`redis: redis://127.0.0.1:${old.address().port}`, { wait: false });

        assert.equal(await pool.ended(), 1);
        assert.match(pool.log(), /pool\.failed: .*5\.0\.14/);
        assert.match(pool.log(), /6\.2/);
        old.close();
    }));

    test('a malformed configuration ends with 2, naming file, line and key', withStage(async (stage) => {
        const pool = await stage.pool('runnners: 2', { wait: false });

        assert.equal(await pool.ended(), 2);
        assert.match(pool.log(), /pool\.yaml:3:1: .*runnners/);
    }));

    test('no redis-server on this machine: named, with the package that brings it', withStage(async (stage) => {
        const pool = await stage.pool('', { wait: false, env: { PATH: '/nonexistent' } });

        assert.equal(await pool.ended(), 1);
        assert.match(pool.log(), /cannot run 'redis-server'/);
        assert.match(pool.log(), /apt-get install redis-server/);
    }));

    test('a second pool on the same SQLite store is refused by name', withStage(async (stage) => {
        const server = await stage.redis();
        const lock = stage.path('shop.db.lockstep-lock');

        writeFileSync(lock, '4711\n'); // as another pool would hold it
        stage.spawn('flock', ['--no-fork', lock, 'sleep', '60'], { stdio: 'ignore' });
        await until('the lock to be held', () => stage.processes().some(({ command }) => command === 'sleep 60'));
        const pool = await stage.pool(`redis: ${server.url}\nstore: sqlite:${stage.path('shop.db')}`, { wait: false });
        assert.equal(await pool.ended(), 1);
        assert.match(pool.log(), /pool\.failed: store 'sqlite:.*shop\.db' is in use by another pool \(pid 4711\)/);
    }));

    test('what cannot be a job lies in dead byte for byte, an unknown kind is named', withStage(async (stage) => {
        const pool = await stage.pool('runners: 1');
        const redis = await pool.redis();
        const receiver = await stage.receiver();
        const broken = '{"kind":"http","data":{"a":1,}';

        await redis.call('RPUSH', 'lockstep:{default}:pending', broken, '{"kind":"fly","data":{}}', 'not json at all');
        await pushRaw(redis, [httpJob(`${receiver.url}/x`, { n: 1 })]);
        await until('the good one', () => receiver.seen.length === 1);
        const letters = await until('three dead', async () => {
            const list = await redis.call('LRANGE', 'lockstep:{default}:dead', 0, -1);
            return list.length === 3 && list.map((letter) => JSON.parse(letter));
        });
        assert.deepEqual(letters.map((letter) => letter.class).sort(), ['malformed', 'malformed', 'unknown_kind']);
        assert.ok(letters.some((letter) => letter.raw === broken));
        assert.ok(letters.some((letter) => letter.raw === 'not json at all'));
    }));
});
