// The command line and jobs of one key, waiting, results, cancelling; draining, quiet processes, accounts. Against a Redis of the
// test's own, mostly with the test in the part of the runner.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CLI, httpJob, places, pushRaw, until, withStage } from '../../support/stage.mjs';

// A build without libyaml reads no configuration files.
const skip = process.env.LS_WITH_YAML === '0' && 'built without libyaml';

async function prepare(stage) {
    const server = await stage.redis();
    const env = { LOCKSTEP_REDIS: server.url };
    const run = (words) => {
        const { status, stdout: out, stderr: err } = spawnSync(CLI, words, { cwd: stage.dir, encoding: 'utf8', env: { ...process.env, ...env }, input: '', timeout: 60_000 });
        return { status, out, err };
    };
    const ok = (words) => {
        const { status, out, err } = run(words);
        assert.equal(status, 0, `${words.join(' ')}: ${out}${err}`);
        return { out, err };
    };
    const json = (words) => JSON.parse(ok([...words, '--json']).out);
    // A command that goes on while the test acts; resolves to {status, out, err}.
    const begin = (words) => {
        const child = stage.spawn(CLI, words, { env });
        let out = '', err = '';
        child.stdout.on('data', (data) => (out += data));
        child.stderr.on('data', (data) => (err += data));
        return new Promise((resolve) => child.once('close', (status) => resolve({ status, out, err })));
    };
    return { server, redis: await stage.connect(server.socket), env, run, ok, json, begin };
}

const key = (name, queue = 'default') => `lockstep:{${queue}}:${name}`;
// What a runner does when a job with a result ends: the result first.
async function end(redis, id, result) {
    await until('the push', () => redis.call('GET', key(`status:${id}`)));
    await redis.call('SET', key(`result:${id}`), JSON.stringify(result));
    await redis.call('SET', key(`status:${id}`), result.state);
}

test('push --mode and --debounce: how jobs of one key meet', withStage(async (stage) => {
    const { redis, run, ok, json } = await prepare(stage);

    assert.equal(json(['push', 'noop', '--key', 'k', '--data', '1']).state, 'queued');
    assert.equal(json(['push', 'noop', '--key', 'k', '--data', '2', '--mode', 'latest']).state, 'coalesced');
    const kept = ok(['push', 'noop', '--key', 'k', '--data', '3', '--mode', 'keep']);
    assert.match(kept.out, /^kept /);
    assert.match(kept.err, /that one stays, this one was dropped/);
    assert.match(await redis.call('HGET', key('bodies'), 'k'), /"data":2/);
    const rejected = run(['push', 'noop', '--key', 'k', '--mode', 'reject']);
    assert.equal(rejected.status, 1);
    assert.match(rejected.err, /^lockstep: rejected: a job with key 'k' waits or runs\nhint: /m);
    assert.equal(JSON.parse(run(['push', 'noop', '--key', 'k', '--mode', 'reject', '--json']).out).state, 'rejected');
    assert.equal(json(['push', 'noop', '--key', 'other', '--mode', 'reject']).state, 'queued');
    ok(['push', 'noop', '--key', 'd', '--debounce', '1h', '--max-wait', '90m']);
    const first = Number(await redis.call('ZSCORE', key('delayed'), '@d'));
    ok(['push', 'noop', '--key', 'd', '--debounce', '2h', '--max-wait', '90m']);
    const moved = Number(await redis.call('ZSCORE', key('delayed'), '@d')) - first;
    assert.ok(moved > 29 * 60_000 && moved <= 30 * 60_000, `moved by ${moved} ms`);
}));

test("push takes the kinds of the configuration's handlers", { skip }, withStage(async (stage) => {
    const { run, ok } = await prepare(stage);

    assert.match(run(['push', 'thumbnail']).err, /unknown kind 'thumbnail'/);
    writeFileSync(stage.path('lockstep.yaml'), 'handlers: {thumbnail: {library: ./thumbnail.so}}\n');
    ok(['push', 'thumbnail']);
    assert.equal(run(['push', 'thumbnial']).status, 2);
}));

test('bad words are named and nothing is pushed', withStage(async (stage) => {
    const { redis, run } = await prepare(stage);

    for (const [words, why] of [
        [['--mode', 'keep'], /a mode without a key/],
        [['--debounce', '1s'], /a debounce without a key/],
        [['--key', 'k', '--mode', 'first'], /'--mode': unknown mode 'first'\nhint: latest, keep or reject/],
        [['--key', 'k', '--max-wait', '1s'], /without a debounce/],
        [['--key', 'k', '--debounce', '1s', '--delay', '1s'], /either a delay or a debounce/],
        [['--key', 'k', '--debounce', '1s', '--at', '2100-01-01T00:00:00Z'], /either '--at'/],
        [['--key', ''], /'--key' is empty/],
        [['--account', ''], /'--account' is empty/],
        [['--id', ''], /'--id' is empty/],
        [['--delay', '3651d'], /a delay of 315446400000 ms is too long\nhint: at most 3650 days/],
        [['--at', '9999-12-31T23:59:59Z'], /a delay of \d+ ms is too long/],
        [['--at', '99999999999999999999'], /'--at' cannot be/],
        [['--delay', '-5s'], /'--delay' cannot be '-5s'/],
        [['--priority', 'top'], /'--priority' cannot be 'top'\nhint: high, normal or low/],
        [['--wait', 'long'], /'--wait' cannot be 'long'/],
        [['--key', 'k'.repeat(513)], /'key' has 513 bytes, 512 are allowed/],
        [['--data', `"${'x'.repeat(66000)}"`], /the job has \d+ bytes, 65536 are allowed/],
        [['--timeout', '90000d'], /'timeout' cannot be/],
    ]) {
        const { status, err } = run(['push', 'noop', ...words]);
        assert.equal(status, 2, `${words.join(' ').slice(0, 80)}: ${err}`);
        assert.match(err, why);
    }
    assert.equal(run(['push', '--bulk', '-', '--result']).status, 2);
    assert.equal(await redis.call('DBSIZE'), 0);
}));

test('--wait prints state and result; dead and cancelled exit 1; what takes longer goes on', withStage(async (stage) => {
    const { redis, begin, run } = await prepare(stage);

    for (const [id, result, status, out] of [
        ['a', { state: 'done', result: { sum: 3 } }, 0, 'done a\n{"sum":3}\n'],
        ['b', { state: 'done' }, 0, 'done b\n'],
        ['c', { state: 'dead', error: 'no such product', class: 'permanent' }, 1, 'dead c\n'],
        ['d', { state: 'cancelled' }, 1, 'cancelled d\n'],
    ]) {
        const waiting = begin(['push', 'noop', '--id', id, '--wait', '20s']);
        await end(redis, id, result);
        const ended = await waiting;
        assert.deepEqual([ended.status, ended.out], [status, out], ended.err);
        if (result.error) {
            assert.match(ended.err, /the job is dead: no such product/);
        }
    }
    const waiting = begin(['push', 'noop', '--id', 'e', '--wait', '20s', '--json']);
    await end(redis, 'e', { state: 'done', result: [1, 'zwei'] });
    assert.deepEqual(JSON.parse((await waiting).out), { id: 'e', queue: 'default', state: 'done', result: [1, 'zwei'] });
    const dead = begin(['push', 'noop', '--id', 'f', '--wait', '20s', '--json']);
    await end(redis, 'f', { state: 'dead', error: 'gone', class: 'permanent' });
    assert.deepEqual(JSON.parse((await dead).out), { id: 'f', queue: 'default', state: 'dead', error: 'gone', class: 'permanent' });
    const late = run(['push', 'noop', '--id', 'g', '--wait', '150ms']);
    assert.deepEqual([late.status, late.out], [0, 'queued g\n']);
    assert.match(late.err, /not ended after 150ms \(pending\): it goes on without us; 'lockstep job result g' asks later/);
    assert.equal(await redis.call('LLEN', key('pending')), 7);
    assert.match(await redis.call('LINDEX', key('pending'), 0), /"result":true/);
    // A known id with a state is waited for, one without is not.
    assert.equal(run(['push', 'noop', '--id', 'a', '--wait', '20s']).out, 'done a\n{"sum":3}\n');
    run(['push', 'noop', '--id', 'plain']);
    assert.equal(run(['push', 'noop', '--id', 'plain', '--wait', '20s']).out, 'known plain\n');
}));

test('--wait with a real pool: results of handlers, reasons, and a cancelled run', { skip }, withStage(async (stage) => {
    const server = await stage.redis();
    await stage.pool(`redis: ${server.url}\nrunners: 1`);
    const env = { LOCKSTEP_REDIS: server.url };
    const receiver = await stage.receiver((request) => (request.url === '/slow' ? null : request.url === '/gone' ? 410 : 200));
    const push = (path, ...words) => ['push', 'http', '--data', JSON.stringify({ url: `${receiver.url}${path}` }), '--json', ...words];
    const begin = (words) => {
        const child = stage.spawn(CLI, words, { env });
        let out = '';
        child.stdout.on('data', (data) => (out += data));
        return new Promise((resolve) => child.once('close', (status) => resolve({ status, ...JSON.parse(out) })));
    };

    const done = await begin(push('/x', '--wait', '20s'));
    assert.deepEqual([done.status, done.state, done.result.status], [0, 'done', 200]);
    const dead = await begin(push('/gone', '--wait', '20s'));
    assert.deepEqual([dead.status, dead.state, dead.class], [1, 'dead', 'permanent']);
    assert.match(dead.error, /410/);
    const slow = begin(push('/slow', '--wait', '20s', '--id', 'slow'));
    await until('the slow one', () => receiver.seen.some(({ url }) => url === '/slow'));
    assert.equal(stage.cli(['job', 'cancel', 'slow'], { env }).status, 0);
    assert.deepEqual([(await slow).status, (await slow).state], [1, 'cancelled']);
    const high = await begin(push('/x', '--wait', '20s', '--priority', 'high'));
    assert.equal(high.state, 'done');
}));

test('--wait outlives a Redis that is started anew', withStage(async (stage) => {
    const { server, redis, begin } = await prepare(stage);
    const waiting = begin(['push', 'noop', '--id', 'a', '--wait', '30s']);

    await until('the push', () => redis.call('GET', key('status:a')));
    server.child.kill('SIGKILL');
    await server.child.ended;
    await server.restart();
    const again = await stage.connect(server.socket);
    await end(again, 'a', { state: 'done', result: 1 });
    assert.deepEqual([(await waiting).status, (await waiting).out], [0, 'done a\n1\n']);
}));

test('a push whose answer is lost has arrived when it has a state', withStage(async (stage) => {
    const { server, redis, begin } = await prepare(stage);
    // The first connection is cut a little later each time, until it is not cut any more; the ones that follow are whole.
    let connections = 0;
    let limit = 0;
    let arrived = 0;
    const proxy = await stage.proxy(server.socket, () => (connections++ === 0 ? limit : Infinity));

    for (let whole = false; !whole; limit += 50) {
        const id = `lost-${limit}`;
        const cuts = proxy.cuts();

        connections = 0;
        const { status, out, err } = await begin(['push', 'noop', '--id', id, '--wait', '0', '--redis', `unix://${proxy.socket}`]);
        whole = proxy.cuts() === cuts;
        const state = await redis.call('GET', key(`status:${id}`));
        assert.equal(status === 0, state === 'pending', err); // it says that it is in exactly when it is
        assert.equal(out, status === 0 ? `queued ${id}\n` : '');
        arrived += !whole && status === 0;
    }
    assert.ok(arrived > 0, 'no answer to a push was lost');
}));

test('job result tells how it stands and how it ended', withStage(async (stage) => {
    const { redis, run, ok, json } = await prepare(stage);

    ok(['push', 'noop', '--id', 'a', '--result', '--queue', 'other']);
    assert.deepEqual(json(['job', 'result', 'a']), { id: 'a', queue: 'other', state: 'pending', status: 'pending' });
    await redis.call('SET', key('result:a', 'other'), '{"state":"done","result":{"n":1}}');
    await redis.call('SET', key('status:a', 'other'), 'done');
    assert.equal(ok(['job', 'result', 'a']).out, 'done a\n{"n":1}\n');
    assert.equal(ok(['job', 'result', 'a', '--queue', 'other']).out, 'done a\n{"n":1}\n');
    assert.equal(run(['job', 'result', 'a', '--queue', 'default']).status, 1);
    await redis.call('SET', key('result:b'), '{"state":"dead","error":"a\\u001b[31mb","class":"permanent"}'); // its status is gone already
    const dead = run(['job', 'result', 'b']);
    assert.deepEqual([dead.status, dead.out], [1, 'dead b\n']);
    assert.match(dead.err, /the job is dead: a\\x1b\[31mb/);
    await redis.call('SET', key('result:c'), '{"state":"done","result":'); // no JSON
    await redis.call('SET', key('status:c'), 'done');
    assert.deepEqual(json(['job', 'result', 'c']), { id: 'c', queue: 'default', state: 'done', result: null });
    const none = run(['job', 'result', 'nobody']);
    assert.equal(none.status, 1);
    assert.match(none.err, /nothing is known of job 'nobody'\nhint: only jobs pushed with '--result'/);
    assert.equal(json(['job', 'result', 'a', '--wait', '10s']).state, 'done');
}));

test('job show tells how far a running job is', withStage(async (stage) => {
    const { redis, ok, json } = await prepare(stage);
    const fence = '1700000000000001';

    await redis.call('ZADD', key('workers'), Date.now() + 60_000, 'web-1-0011223344556677');
    await redis.call('HSET', key('running:web-1-0011223344556677'), fence, '{"id":"r1","kind":"noop"}');
    assert.equal(json(['job', 'show', 'r1']).progress, undefined);
    await redis.call('HSET', key('progress'), fence, '30 120 page 3 of 12');
    assert.deepEqual(json(['job', 'show', 'r1']).progress, { done: 30, total: 120, text: 'page 3 of 12' });
    assert.match(ok(['job', 'show', 'r1']).out, /^at +30 of 120 \(25%\), page 3 of 12$/m);
    await redis.call('HSET', key('progress'), fence, '7 0');
    assert.match(ok(['job', 'show', 'r1']).out, /^at +7$/m);
    await redis.call('HSET', key('progress'), fence, 'rubbish');
    assert.doesNotMatch(ok(['job', 'show', 'r1']).out, /^at/m);
}));

test('job cancel: by id, by key', withStage(async (stage) => {
    const { redis, run, ok, json } = await prepare(stage);

    ok(['push', 'noop', '--id', 'a', '--result']);
    assert.match(ok(['job', 'cancel', 'a']).out, /dropped when it is claimed/);
    assert.match(ok(['job', 'cancel', 'a']).out, /cancelled before/);
    assert.deepEqual([run(['job', 'result', 'a']).status, run(['job', 'result', 'a']).out], [1, 'cancelled a\n']);
    ok(['push', 'noop', '--key', 'k']);
    assert.deepEqual(json(['job', 'cancel', '--key', 'k']), { cancelled: true, queue: 'default', new: false, dropped: 1, running: false });
    assert.match(ok(['job', 'cancel', '--key', 'k']).out, /nothing of this key waits or runs/);
    await redis.call('ZADD', key('workers'), Date.now() + 60_000, 'w-1-0011223344556677');
    await redis.call('HSET', key('keys'), 'r', 'running w-1-0011223344556677 17');
    assert.match(ok(['job', 'cancel', '--key', 'r']).out, /asked to stop/);
    // Whichever queue holds it; one that nobody has seen yet is remembered.
    ok(['push', 'noop', '--id', 'far', '--queue', 'other']);
    assert.deepEqual(json(['job', 'cancel', 'far']), { cancelled: true, queue: 'other', new: true, dropped: 0, running: false });
    ok(['push', 'noop', '--key', 'far', '--queue', 'other']);
    assert.equal(json(['job', 'cancel', '--key', 'far']).queue, 'other');
    assert.match(ok(['job', 'cancel', 'unseen']).err, /no such job is in Redis now: queue 'default' remembers the id/);
    await redis.call('HSET', key('running:w-1-0011223344556677'), '17', '{"id":"runs","kind":"noop"}');
    assert.match(ok(['job', 'cancel', 'runs']).out, /asked to stop/);
    for (const words of [['cancel'], ['cancel', 'a', '--key', 'k'], ['show', '--key', 'k'], ['cancel', ''], ['cancel', '--key', ''], ['cancel', '--key', 'a"b']]) {
        assert.equal(run(['job', ...words]).status, 2, words.join(' '));
    }
}));

test('queue drain closes, waits until nothing waits or runs, and leaves it closed', withStage(async (stage) => {
    const { redis, run, ok, json, begin } = await prepare(stage);

    await pushRaw(redis, [{ kind: 'noop' }]);
    ok(['push', 'noop', '--delay', '1h']);
    const draining = begin(['queue', 'drain', 'default', '--reason', 'new schema', '--timeout', '30s']);
    await until('closed', () => redis.call('HGET', key('control'), 'closed'));
    const refused = run(['push', 'noop']);
    assert.equal(refused.status, 1);
    assert.match(refused.err, /queue 'default': .*being drained: cli on .*: new schema\nhint: 'lockstep queue resume'/);
    const [row] = json(['queue', 'list']);
    assert.deepEqual([row.closed, row.paused], [true, false]);
    assert.match(ok(['queue', 'list']).out, /drained/);
    assert.match(json(['queue', 'show', 'default']).closed_by, /new schema/);
    await redis.call('DEL', key('pending'));
    const drained = await draining;
    assert.equal(drained.status, 0, drained.err);
    assert.match(drained.out, /^queue default is drained and stays closed; 1 delayed jobs stay in it\n$/);
    assert.match(drained.err, /only a raw RPUSH cannot be.*\n.*no worker serves queue 'default'/);
    const again = run(['queue', 'drain', 'default', '--all', '--timeout', '200ms']);
    assert.equal(again.status, 1);
    assert.match(again.err, /1 jobs of queue 'default' are left\nhint: it stays closed/);
    assert.match(ok(['queue', 'resume', 'default']).out, /takes pushes again/);
    assert.match(ok(['queue', 'resume', 'default']).out, /was not paused/);
    ok(['push', 'noop']);
    ok(['queue', 'pause', 'default']);
    const paused = run(['queue', 'drain', 'default']);
    assert.equal(paused.status, 1);
    assert.match(paused.err, /is paused: nothing of it would be claimed\nhint: 'lockstep queue resume default' first/);
    assert.equal(await redis.call('HEXISTS', key('control'), 'closed'), 0);
    for (const words of [['drain'], ['drain', 'Bad Name'], ['pause', 'default', '--all'], ['drain', 'default', '--timeout', 'x']]) {
        assert.notEqual(run(['queue', ...words]).status, 0, words.join(' '));
    }
}));

test('queue drain and worker quiet, with real runners', { skip }, withStage(async (stage) => {
    const server = await stage.redis();
    const pool = await stage.pool(`redis: ${server.url}\nrunners: 1`);
    const redis = await stage.connect(server.socket);
    const env = { LOCKSTEP_REDIS: server.url };
    let release;
    const gate = new Promise((resolve) => {
        release = resolve;
    });
    const receiver = await stage.receiver((request) => (request.url === '/slow' ? gate.then(() => 200) : 200));
    const cli = (...words) => stage.cli(words, { env });
    const runner = () => JSON.parse(cli('worker', 'list', '--json').out).find(({ worker }) => worker.includes(`-${pool.children('runner')[0]}-`));

    await pushRaw(redis, [httpJob(`${receiver.url}/slow`, {})]);
    await until('the slow one', () => receiver.seen.length === 1);
    const place = runner().worker.replace(/-[0-9a-f]{16}$/, '');
    const quiet = cli('worker', 'quiet', place, '--reason', 'update');
    assert.match(quiet.out, /^1 workers are quiet: they claim nothing more; 1 jobs still run\n/);
    assert.match(runner().quiet, /^cli on .*: update$/);
    await pushRaw(redis, [httpJob(`${receiver.url}/x`, {})]);
    assert.equal(stage.cli(['push', 'noop', '--id', 'w', '--wait', '700ms'], { env }).out, 'queued w\n');
    assert.equal(receiver.seen.length, 1);
    assert.equal(cli('worker', 'resume', place).status, 0);
    await until('the other', () => receiver.seen.length === 2);
    assert.equal(runner().quiet, null);

    const draining = new Promise((resolve) => stage.spawn(CLI, ['queue', 'drain', 'default', '--timeout', '30s'], { env }).once('exit', resolve));
    await until('closed', () => redis.call('HGET', key('control'), 'closed'));
    release();
    assert.equal(await draining, 0);
    assert.equal((await places(redis)).left, 0);
}));

test('worker quiet names who is not there; marks of the gone are swept by list and by resume --all', withStage(async (stage) => {
    const { redis, run, ok, json } = await prepare(stage);
    const here = 'web-1-4711-0011223344556677';

    assert.match(run(['worker', 'quiet', '--all']).err, /there are no workers/);
    await redis.call('ZADD', key('workers'), Date.now() + 60_000, here);
    assert.match(run(['worker', 'quiet', 'web-1-4712']).err, /no worker 'web-1-4712'\nhint: 'lockstep worker list'/);
    assert.deepEqual(json(['worker', 'quiet', here]), { workers: 1, running: 0 }); // by its whole name
    assert.equal(await redis.call('HEXISTS', key('control'), 'quiet/web-1-4711'), 1);
    await redis.call('HSET', key('control'), 'quiet/web-1-99', 'long ago');
    assert.match(ok(['worker', 'list']).out, /WORKER .* QUIET[^]*cli on /);
    assert.equal(await redis.call('HEXISTS', key('control'), 'quiet/web-1-99'), 0);
    assert.equal(await redis.call('HEXISTS', key('control'), 'quiet/web-1-4711'), 1);
    assert.deepEqual(json(['worker', 'resume', here]), { resumed: 1 });
    assert.match(ok(['worker', 'resume', here]).out, /was not quiet/);
    ok(['worker', 'quiet', '--all']);
    await redis.call('HSET', key('control', 'other'), 'quiet/web-1-99', 'long ago');
    await redis.call('SADD', 'lockstep:{fleet}:queues', 'other');
    assert.deepEqual(json(['worker', 'resume', '--all']), { resumed: 2 });
    for (const words of [['quiet'], ['quiet', 'x', '--all'], ['resume'], ['quiet', 'x', '--queue', 'default'], ['hush', 'x'], ['list', 'x']]) {
        assert.equal(run(['worker', ...words]).status, 2, words.join(' '));
    }
}));

test('account: budgets, parkings, breakers, learned rates', withStage(async (stage) => {
    const { redis, run, ok, json } = await prepare(stage);
    const now = Date.now();

    await redis.call('SADD', 'lockstep:{fleet}:queues', 'shops');
    await redis.call('HSET', key('limits', 'shops'),
        'eu/rate', '10', 'eu/burst', '20', 'eu/next', String((now + 500) * 1000), 'eu/running', '3', 'eu/concurrency', '8', 'eu/costs', 'product=2',
        'eu/breaker', `open 5 ${now + 60_000}`, 'eu/learned', `2 4 ${now + 60_000}`, 'us/rate', '10', 'us/burst', '20', 'us/next', String((now + 500) * 1000), 'us/parked', String(now + 600_000), 'us/reason', 'auth', 'free/running', '1', 'rubbish', 'x', 'a b/rate', '1');
    await redis.call('HSET', key('limits'), ...Array.from({ length: 1200 }, (_, n) => [`bulk-${n}/rate`, '1']).flat());
    const rows = json(['account', 'list']);
    assert.equal(rows.length, 1203);
    const eu = rows.find(({ account }) => account === 'eu');
    assert.deepEqual([eu.queue, eu.rate, eu.burst, eu.running, eu.concurrency], ['shops', 10, 20, 3, 8]);
    assert.ok(eu.budget >= 3 && eu.budget <= 4, `budget ${eu.budget}`); // learned: 4 at once, 2/s; half a second is paid ahead
    assert.match(ok(['account', 'show', 'eu']).out, /rate +10\/s[^]*running +3 of 8[^]*costs.* product=2[^]*breaker +open, asks again in 1m 0s, 5 times in a row[^]*learned from the platform +2\/s, burst 4, for 1m 0s/);
    const us = rows.find(({ account }) => account === 'us');
    assert.equal(us.parked_by, 'auth');
    assert.ok(us.budget >= 15 && us.budget <= 20, `budget ${us.budget}`);
    assert.ok(Math.abs(Date.parse(us.parked_until) - now - 600_000) < 2);
    assert.equal(json(['account', 'show', 'free']).rate, null);

    assert.match(ok(['account', 'park', 'eu', '--for', '10m', '--reason', 'stocktaking', '--queue', 'shops']).out, /account eu is parked in queue shops until /);
    assert.match(json(['account', 'show', 'eu']).parked_by, /^cli on .*: stocktaking$/);
    assert.match(ok(['account', 'release', 'eu', '--queue', 'shops']).out, /account eu goes on in queue shops/);
    const released = json(['account', 'show', 'eu']);
    assert.equal(released.parked_until, null);
    assert.doesNotMatch(released.breaker ?? 'closed', /open/);
    const nobody = run(['account', 'show', 'nobody']);
    assert.equal(nobody.status, 1);
    assert.match(nobody.err, /no account 'nobody'/);
    for (const words of [['park', 'eu'], ['park', 'eu', '--for', '0'], ['park', 'eu', '--for', 'x'], ['show'], ['show', 'Bad Name'], ['list', 'x'], ['release', 'eu', '--for', '1m']]) {
        assert.equal(run(['account', ...words]).status, 2, words.join(' '));
    }
}));

test('lists fit a terminal of 80 columns', { skip: spawnSync('script', ['--version']).status !== 0 }, withStage(async (stage) => {
    const { redis, env } = await prepare(stage);

    await redis.call('HSET', key('control'), 'paused', 'x', 'closed', 'x');
    await redis.call('HSET', key('limits'), 'shop-eu/rate', '10', 'shop-eu/burst', '20', 'shop-eu/parked', String(Date.now() + 600_000), 'shop-eu/reason', 'the shop answered 401 to every request of today');
    await redis.call('ZADD', key('workers'), Date.now() + 60_000, 'web-1-4711-0011223344556677');
    for (const words of ['queue list', 'account list', 'worker list']) {
        const run = spawnSync('script', ['-qec', `stty cols 80; ${CLI} ${words}`, '/dev/null'], { encoding: 'utf8', cwd: stage.dir, env: { ...process.env, ...env } });
        for (const line of run.stdout.replaceAll('\r', '').trimEnd().split('\n')) {
            assert.ok([...line].length <= 80, line);
        }
    }
}));
