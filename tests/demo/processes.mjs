// Starts and ends what the demo runs: the simulated store, the receiver of alerts, the pool; and calls the lockstep command.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const STOP_MS = 30_000;
const START_MS = 20_000;

// A child that says one line of JSON when it is ready. With keep it outlives the demo.
export async function startHelper(script, args, { keep, folder, name }) {
    const log = openSync(join(folder, `${name}.log`), 'a');
    const out = join(folder, `${name}.out`);
    const outFd = openSync(out, 'w');
    const child = spawn(process.execPath, [script, ...args], { stdio: [keep ? 'ignore' : 'pipe', outFd, log], detached: keep });
    closeSync(log);
    closeSync(outFd);
    const line = await waitFor(`${name} to start`, START_MS, () => {
        demandRunning(child, name, folder);
        const text = readFileSync(out, 'utf8');
        return text.includes('\n') ? text : null;
    });
    return { ...JSON.parse(line), child };
}

// `lockstep up`, tied to this process by the kernel where setpriv can do that, so that not even SIGKILL leaves a pool behind.
export function startPool(lockstep, config, { keep, folder }) {
    const log = openSync(join(folder, 'up.log'), 'a');
    const args = [lockstep, 'up', '--config', config];
    const tied = !keep && existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'TERM', ...args] : args;
    const child = spawn(tied[0], tied.slice(1), { stdio: ['ignore', log, log], detached: true, cwd: folder });
    closeSync(log);
    return child;
}

export function demandRunning(child, name, folder) {
    if (child.exitCode !== null || child.signalCode !== null) {
        const log = join(folder, `${name}.log`);
        const tail = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-12).join('\n') : '';
        throw Object.assign(new Error(`${name} ended with ${child.exitCode ?? child.signalCode}\n${tail}`), { code: child.exitCode });
    }
}

// SIGTERM, then SIGKILL to the whole group; how it ended comes back.
export async function stopChild(child) {
    if (child.exitCode !== null || child.signalCode !== null) {
        return child.exitCode ?? child.signalCode;
    }
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    child.kill('SIGTERM');
    const timer = setTimeout(() => killGroup(child), STOP_MS);
    const how = await ended;
    clearTimeout(timer);
    return how;
}

export function killGroup(child) {
    try {
        process.kill(-child.pid, 'SIGKILL');
    } catch {
        child.kill('SIGKILL');
    }
}

// One call of the command. {status, out, err}; never throws for an exit status.
export function run(lockstep, args, { env, timeoutMs = 60_000, input } = {}) {
    try {
        const out = execFileSync(lockstep, args, { env: { ...process.env, ...env }, encoding: 'utf8', timeout: timeoutMs, input: input ?? '', stdio: 'pipe', maxBuffer: 64 * 1024 * 1024 });
        return { status: 0, out, err: '' };
    } catch (error) {
        if (error.code === 'ETIMEDOUT') {
            throw new Error(`'lockstep ${args.join(' ')}' did not end within ${timeoutMs / 1000} s`);
        }
        return { status: error.status ?? -1, out: error.stdout ?? '', err: error.stderr ?? String(error) };
    }
}

// Every forked process is a direct child of the master; which one is a runner stands in its name.
export function childrenOf(pid) {
    const children = [];
    for (const name of readdirSync('/proc')) {
        if (!/^\d+$/.test(name)) {
            continue;
        }
        try {
            const [, comm, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8'));
            if (Number(rest.split(' ')[1]) === pid) {
                const cmdline = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
                children.push({ pid: Number(name), comm, cmdline });
            }
        } catch {
            // it ended while we looked
        }
    }
    return children;
}

// Asks until there is an answer that is not null, undefined or false; an error with what was waited for after timeoutMs.
export async function waitFor(what, timeoutMs, ask, everyMs = 50) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
        const answer = await ask();
        if (answer !== null && answer !== undefined && answer !== false) {
            return answer;
        }
        if (performance.now() > deadline) {
            throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
}
