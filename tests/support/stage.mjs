// The stage of an end-to-end test: a temporary directory, the pools, Redis servers and HTTP receivers that play on it, and the
// proof at the end that none of their processes is left. Everything is found by the directory's name, which is in the environment
// of each process; a test that dies takes them along (setpriv --pdeathsig).
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from './redis.mjs';

export const BUILD = process.env.LS_BUILD_DIR ?? join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../build');
const SOURCE = new URL('../..', import.meta.url).pathname;
export const WORKER = join(BUILD, 'bin/lockstep-worker');
export const CLI = join(BUILD, 'bin/lockstep');
const PATIENCE_MS = 20_000;

export async function until(what, ask, timeoutMs = PATIENCE_MS, everyMs = 10) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
        const answer = await ask();
        if (answer !== null && answer !== undefined && answer !== false) {
            return answer;
        }
        if (performance.now() > deadline) {
            throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
        }
        await pause(everyMs);
    }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// withStage(async (stage) => {...}) as the body of a test: cleans up whatever happens.
export function withStage(body) {
    return async (t) => {
        const stage = new Stage();
        let failure = null;
        try {
            await body(stage, t);
        } catch (error) {
            failure = error;
            t.diagnostic(stage.logs());
        }
        const left = await stage.close();
        if (failure) {
            throw failure;
        }
        assert.deepEqual(left, [], 'processes were left behind');
    };
}

export class Stage {
    dir = mkdtempSync(join(tmpdir(), 'ls-e2e-'));
    #children = [];
    #servers = [];
    #connections = [];
    #pools = [];

    path(name) {
        return join(this.dir, name);
    }

    spawn(command, args, options = {}) {
        const tied = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', command, ...args] : [command, ...args];
        const child = spawn(tied[0], tied.slice(1), { cwd: this.dir, ...options, env: { ...process.env, ...options.env, LS_STAGE: this.dir } });
        child.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
        this.#children.push(child);
        return child;
    }

    // config: the text of lockstep.yaml; state_dir, log and (unless given) the embedded Redis are on the stage.
    async pool(config = '', { name = 'pool', wait = true, args = [], env = {}, under = [] } = {}) {
        const pool = new Pool(this, name, config, args, env, under);
        this.#pools.push(pool);
        if (wait) {
            await pool.ready();
        }
        return pool;
    }

    // A Redis of the test's own, on a unix socket and, with port, on TCP.
    async redis({ name = 'redis', args = [], port, env } = {}) {
        const socket = this.path(`${name}.sock`);
        const start = () => this.spawn('redis-server', ['--port', String(port ?? 0), '--bind', '127.0.0.1', '--unixsocket', socket, '--dir', this.dir, '--save', '',
            '--appendonly', 'yes', '--appendfilename', `${name}.aof`, '--appenddirname', `${name}-aof`, '--logfile', this.path(`${name}.log`), '--maxmemory-policy', 'noeviction', ...args], { stdio: 'ignore', env });
        const server = { socket, url: `unix://${socket}`, port, child: start() };
        server.restart = async () => {
            server.child = start();
            await this.connect(socket);
        };
        await this.connect(socket);
        return server;
    }

    // A connection; waits until the server answers.
    async connect(where, options) {
        const redis = await until(`redis at ${where}`, async () => {
            try {
                const candidate = await Redis.open(where, options);
                if (await candidate.call('PING').catch((error) => (error.message.startsWith('NOAUTH') ? 'PONG' : null)) === 'PONG') {
                    return candidate;
                }
                candidate.close();
            } catch {
                // not there yet
            }
            return null;
        });
        this.#connections.push(redis);
        return redis;
    }

    // A proxy before a unix socket: each connection is cut when limit() bytes have come from the server, and what exceeds them is
    // not handed on: commands applied, answers lost. open() ends the cutting.
    async proxy(target, limit) {
        const socket = this.path(`proxy-${this.#servers.length}.sock`);
        let cuts = 0;
        let cutting = true;
        const server = net.createServer((client) => {
            const upstream = net.connect(target);
            let left = limit();
            const end = () => {
                client.destroy();
                upstream.destroy();
            };
            client.on('error', end).on('close', end).on('data', (chunk) => upstream.write(chunk));
            upstream.on('error', end).on('close', end).on('data', (chunk) => {
                left -= cutting ? chunk.length : 0;
                if (left < 0) {
                    cuts++;
                    end();
                } else {
                    client.write(chunk);
                }
            });
        });
        await new Promise((resolve) => server.listen(socket, resolve));
        this.#servers.push(server);
        return {
            socket,
            cuts: () => cuts,
            open: () => {
                cutting = false;
            },
        };
    }

    // An HTTP receiver in this process. answer(request, body, response) may answer itself, or return a status (or nothing: 200).
    async receiver(answer = () => 200) {
        const seen = [];
        const server = http.createServer((request, response) => {
            const chunks = [];
            request.on('data', (chunk) => chunks.push(chunk)).on('end', async () => {
                const body = Buffer.concat(chunks).toString();
                seen.push({ method: request.method, url: request.url, headers: request.headers, body, at: performance.now() });
                const status = await answer(request, body, response);
                if (!response.writableEnded && status !== null) {
                    response.writeHead(status ?? 200);
                    response.end('{}');
                }
            });
        });
        server.keepAliveTimeout = 60_000;
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        this.#servers.push(server);
        return { url: `http://127.0.0.1:${server.address().port}`, seen, server };
    }

    // The counting sink in a process of its own, for many requests.
    async sink(args = []) {
        const child = this.spawn(process.execPath, [join(SOURCE, 'tests/platforms/sink.mjs'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout.on('data', (chunk) => {
            text += chunk;
        });
        const line = await until('the sink', () => text.includes('\n') && text);
        const { url } = JSON.parse(line);
        return { url, child, count: async () => (await fetch(`${url}/count`)).json(), ids: async () => (await fetch(`${url}/ids`)).json() };
    }

    cli(args, { env = {}, input } = {}) {
        try {
            const out = execFileSync(CLI, args, { cwd: this.dir, encoding: 'utf8', env: { ...process.env, ...env, LS_STAGE: this.dir }, stdio: 'pipe', input: input ?? '', timeout: 60_000 });
            return { status: 0, out, err: '' };
        } catch (error) {
            return { status: error.status ?? -1, out: error.stdout ?? '', err: error.stderr ?? String(error) };
        }
    }

    logs() {
        return this.#pools.map((pool) => `--- ${pool.name}\n${pool.log().split('\n').slice(-80).join('\n')}`).join('\n');
    }

    // Ends everything; what a pool left behind after its own end comes back (and is killed).
    async close() {
        for (const redis of this.#connections) {
            redis.close();
        }
        for (const pool of this.#pools) {
            await pool.stop().catch(() => pool.child.kill('SIGKILL'));
        }
        for (const child of this.#children) {
            if (child.exitCode === null && child.signalCode === null) {
                child.kill('SIGKILL');
                await child.ended;
            }
        }
        for (const server of this.#servers) {
            server.closeAllConnections?.();
            server.close();
        }
        const deadline = performance.now() + 5000;
        let left = this.processes();
        while (left.length && performance.now() < deadline) {
            await pause(20);
            left = this.processes();
        }
        for (const { pid } of left) {
            process.kill(pid, 'SIGKILL');
        }
        rmSync(this.dir, { recursive: true, force: true });
        return left;
    }

    // Every live process whose environment or title names this stage (redis-server overwrites the first).
    processes() {
        const found = [];
        for (const name of readdirSync('/proc')) {
            try {
                if (!/^\d+$/.test(name) || /\) Z /.test(readFileSync(`/proc/${name}/stat`, 'latin1'))) {
                    continue;
                }
                const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
                if (command.includes(this.dir) || readFileSync(`/proc/${name}/environ`, 'latin1').includes(`LS_STAGE=${this.dir}`)) {
                    found.push({ pid: Number(name), command });
                }
            } catch {
                // it ended while we looked, or is not ours to read
            }
        }
        return found;
    }
}

class Pool {
    constructor(stage, name, config, args, env, under) {
        this.stage = stage;
        this.name = name;
        this.config = stage.path(`${name}.yaml`);
        this.logFile = stage.path(`${name}.log`);
        this.stateDir = stage.path(`${name}-state`);
        this.configure(config);
        const errors = openSync(stage.path(`${name}.err`), 'a');
        const [command, ...words] = [...under, WORKER, '--config', this.config, ...args];
        this.child = stage.spawn(command, words, { stdio: ['ignore', errors, errors], env });
        closeSync(errors);
        this.pid = this.child.pid;
    }

    configure(config) {
        const lines = [`state_dir: ${this.stateDir}`, `log: file:${this.logFile}`];
        writeFileSync(this.config, `${[...lines.filter((line) => !config.includes(`${line.split(':')[0]}:`)), config].join('\n')}\n`);
    }

    log() {
        return [`${this.logFile}.1`, this.logFile, this.stage.path(`${this.name}.err`)].filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8')).join('');
    }

    // Waits until a line matches `times` times; the last match comes back.
    logged(pattern, times = 1, timeoutMs = PATIENCE_MS) {
        const all = new RegExp(pattern.source ?? pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'g');
        return until(`${times} times ${pattern} in the log of ${this.name}`, () => {
            const matches = [...this.log().matchAll(all)];
            return matches.length >= times && matches.at(-1);
        }, timeoutMs, 20);
    }

    count(pattern) {
        return [...this.log().matchAll(new RegExp(pattern.source ?? pattern, 'g'))].length;
    }

    async ready() {
        await until(`pool ${this.name} to be ready`, () => {
            if (this.child.exitCode !== null || this.child.signalCode !== null) {
                throw new Error(`pool ${this.name} ended with ${this.child.exitCode ?? this.child.signalCode}:\n${this.log()}`);
            }
            return this.log().includes('pool.ready');
        });
    }

    // Pids of the running children of a role, from the kernel: title is "lockstep-worker: runner 0".
    children(role = '') {
        return this.stage.processes().filter(({ command }) => command.startsWith(`lockstep-worker: ${role}`) && !command.startsWith('lockstep-worker: master')).map(({ pid }) => pid);
    }

    get socket() {
        return join(this.stateDir, 'redis.sock');
    }

    redis() {
        return this.stage.connect(this.socket);
    }

    signal(name) {
        process.kill(this.pid, name);
    }

    ended() {
        return this.child.ended;
    }

    // SIGTERM and its exit status.
    async stop() {
        if (this.child.exitCode === null && this.child.signalCode === null) {
            this.child.kill('SIGTERM');
        }
        let timer;
        const late = new Promise((_, reject) => {
            timer = setTimeout(() => reject(new Error(`pool ${this.name} does not end`)), 40_000);
        });
        return Promise.race([this.child.ended, late]).finally(() => clearTimeout(timer));
    }
}

// A port nobody listens on now.
export async function freePort() {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

// Raw envelopes, many in one RPUSH.
export async function pushRaw(redis, jobs, queue = 'default') {
    for (let at = 0; at < jobs.length; at += 1000) {
        await redis.call('RPUSH', `lockstep:{${queue}}:pending`, ...jobs.slice(at, at + 1000).map((job) => JSON.stringify(job)));
    }
}

export const httpJob = (url, body) => ({ kind: 'http', data: { url, body } });

// How many jobs lie where.
export async function places(redis, queue = 'default') {
    const key = (name) => `lockstep:{${queue}}:${name}`;
    const [high, normal, low, delayed, reserved, held, dead, workers] = await Promise.all([
        redis.call('LLEN', key('pending:high')), redis.call('LLEN', key('pending')), redis.call('LLEN', key('pending:low')),
        redis.call('ZCARD', key('delayed')), redis.call('ZCARD', key('reserved')), redis.call('ZCARD', key('held')),
        redis.call('LLEN', key('dead')), redis.call('ZRANGE', key('workers'), 0, -1),
    ]);
    const running = (await Promise.all(workers.map((worker) => redis.call('HLEN', key(`running:${worker}`))))).reduce((sum, n) => sum + n, 0);
    return { pending: high + normal + low, delayed, reserved, held, dead, running, left: high + normal + low + delayed + reserved + held + running };
}

export const drained = (redis, queue, timeoutMs = 60_000) => until('an empty queue', async () => {
    const now = await places(redis, queue);
    return now.left === 0 && now;
}, timeoutMs, 50);
