// lockstep dead: which letters are meant, how they move, leave for a file and come back. A private Redis, the real binary.
import { test, before, after, beforeEach } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Redis } from "../../support/redis.mjs";

const bin = resolve(process.env.LS_BUILD_DIR ?? "build", "bin", "lockstep");
const dir = mkdtempSync(join(tmpdir(), "ls-dead-"));
const socket = join(dir, "redis.sock");
const env = { PATH: process.env.PATH, LOCKSTEP_REDIS: `unix://${socket}` };
const DEAD = "lockstep:{default}:dead";
const START = Date.UTC(2026, 10, 23);
let server;
let redis;

function lockstep(words, { input = "" } = {}) {
  const run = spawnSync(bin, ["dead", ...words], { encoding: "utf8", input, cwd: dir, timeout: 30000, env, maxBuffer: 1 << 28 });
  assert.equal(run.error, undefined);
  return { code: run.status, out: run.stdout, err: run.stderr };
}

function ok(words, options) {
  const run = lockstep(words, options);
  assert.equal(run.code, 0, `${words.join(" ")}: ${run.out}${run.err}`);
  return run;
}

const json = (words, options) => JSON.parse(ok([...words, "--json"], options).out);

const group = (n) => `${n}`.padStart(16, "0");

// A letter that died n seconds after START.
function letter(n, { of = n % 3, kind = "http", account = "eu", klass = "transient", ...extra } = {}) {
  return JSON.stringify({
    id: `j${n}`, kind, account, error: `'http://shop.example/${n}' answered 500`, class: klass, why: "max_attempts", code: "http-500", http_status: 500,
    attempts: 5, crashes: 0, first_failed_at: new Date(START).toISOString(), failed_at: new Date(START + n * 1000).toISOString(), worker: "h-1-aa", fence: 17 + n,
    group: group(of), job: { account, id: `j${n}`, kind, data: { n } }, ...extra,
  });
}

const file = (name, letters) => {
  writeFileSync(join(dir, name), letters.map((text) => `${text}\n`).join(""));
  return name;
};

// n letters j0 … on the list, in three groups, whose rows are right.
function seed(n, options = () => ({})) {
  ok(["import", file("seed.jsonl", Array.from({ length: n }, (_, i) => letter(i, options(i)))), "--quiet"]);
}

// Numbers of the letters, newest first.
const numbers = async (queue = "default") => (await redis.call("LRANGE", `lockstep:{${queue}}:dead`, 0, -1)).map((text) => Number(JSON.parse(text).id.slice(1)));
const down = (n, keep = () => true) => Array.from({ length: n }, (_, i) => n - 1 - i).filter(keep);
const pending = async () => (await redis.call("LRANGE", "lockstep:{default}:pending", 0, -1)).map((text) => JSON.parse(text));
const rows = async () => Object.fromEntries(Object.entries(await redis.hash(`${DEAD}:groups`)).map(([name, row]) => {
  const [count, first, last] = row.split(" ").map(Number);
  return [Number(name), { count, first: (first - START) / 1000, last: (last - START) / 1000 }];
}));
const stats = () => redis.hash("lockstep:{default}:stats");

before(async () => {
  server = spawn("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir], { stdio: "ignore" });
  for (let i = 0; i < 500 && !redis; i++) {
    redis = await Redis.open(socket).catch(() => null);
    if (!redis) await new Promise((r) => setTimeout(r, 10));
  }
});
after(() => {
  redis.close();
  server.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => redis.call("FLUSHALL"));

test("misuse says what is missing", () => {
  for (const [words, hint] of [
    [["retry"], /say which: ids, --group GROUP, --all/],
    [["export"], /say which/],
    [["retry", "--limit", "5"], /say which/],
    [["discard", "--all"], /say why: '--reason TEXT'/],
    [["discard", "--all", "--reason", ""], /say why/],
    [["discard", "--all", "--reason", "x".repeat(201)], /more than 200 bytes/],
    [["retry", "--all", "--group", "a"], /exclude each other/],
    [["retry", "j1", "--all"], /exclude each other/],
    [["retry", "--all", "--reason", "x"], /'--reason' says nothing to 'dead retry'/],
    [["export", "--all", "--dry-run"], /'--dry-run' says nothing to 'dead export'/],
    [["list", "--rate", "1"], /'--rate' says nothing/],
    [["retry", "--all", "--since", "5"], /'--since' cannot be '5'/],
    [["retry", "--all", "--limit", "many"], /'--limit' cannot be 'many'/],
    [["retry", "--all", "--rate", "fast"], /jobs a second: 50\/s/],
    [["import"], /which file/],
    [["import", "a", "b"], /which file/],
    [["groups", "x"], /unknown word 'x'/],
    [["bury"], /unknown word 'bury'/],
  ]) {
    const run = lockstep(words);
    assert.equal(run.code, 2, `${words.join(" ")}: ${run.err}`);
    assert.match(run.err, hint);
    assert.equal(run.out, "");
  }
});

test("some by their ids, in any spelling; those that are not there are named", async () => {
  seed(300);
  ok(["retry", "j7", "--id", "j200", "--id=j299"]);
  assert.deepEqual((await pending()).map(({ id }) => id).sort(), ["j200", "j299", "j7"]);
  assert.deepEqual(await numbers(), down(300, (n) => ![7, 200, 299].includes(n)));
  const run = lockstep(["discard", "j1", "nobody", "0", "j2", "noone", "--reason", "test"]); // 0: the newest, j298
  assert.equal(run.code, 1);
  assert.match(run.out, /^discarded 3 jobs/);
  assert.match(run.err, /no dead job 'nobody', 'noone' in queue 'default'/);
  assert.deepEqual(await numbers(), down(298, (n) => ![1, 2, 7, 200].includes(n)));
  assert.deepEqual(json(["retry", "j3", "j4", "nobody", "--dry-run"]), { selected: 2, unreadable: 0 });
  assert.deepEqual(json(["retry", "j3", "j4", "j5", "--kind", "exec"]), { moved: 0, unreadable: 0 });
  assert.deepEqual(json(["retry", "j3", "j4", "j5", "--limit", "2"]), { moved: 2, unreadable: 0 });
  assert.equal((await numbers()).length, 294 - 2);
  await redis.call("LPUSH", DEAD, letter(0, { id: "1" })); // a number is a place, whatever the jobs are called
  ok(["discard", "1", "--reason", "test"]);
  assert.equal(JSON.parse(await redis.call("LINDEX", DEAD, 0)).id, "1");
});

test("a group out of many: the oldest first, the rest keeps its order, rows and counters are right", async () => {
  seed(1000);
  assert.deepEqual(json(["retry", "--group", group(1), "--dry-run"]), { selected: 333, unreadable: 0 });
  assert.match(ok(["retry", "--group", group(1)]).out, /queued again 333 jobs/);
  assert.deepEqual(await numbers(), down(1000, (n) => n % 3 !== 1));
  assert.deepEqual((await pending()).map(({ data }) => data.n), down(1000, (n) => n % 3 === 1).reverse());
  assert.equal((await stats()).redriven, "333");
  assert.deepEqual(await rows(), { 0: { count: 334, first: 0, last: 999 }, 2: { count: 333, first: 2, last: 998 } });
  assert.deepEqual(json(["discard", "--group", group(2), "--reason", "stale"]), { moved: 333, unreadable: 0 });
  assert.deepEqual(await numbers(), down(1000, (n) => n % 3 === 0));
});

test("filters combine and narrow every choice; --dry-run changes nothing", async () => {
  const recent = Math.floor((Date.now() - START) / 1000);
  const options = (i) => ({ kind: i % 2 ? "http" : "exec", account: i % 5 ? "eu" : "us", klass: i % 7 ? "transient" : "permanent", failed_at: i < 50 ? new Date(START).toISOString() : new Date(START + (recent - 600) * 1000).toISOString() });
  seed(200, options);
  const expected = (keep) => Array.from({ length: 200 }, (_, i) => i).filter(keep).length;
  const before = await redis.call("LRANGE", DEAD, 0, -1);
  for (const [words, keep] of [
    [["--all"], () => true],
    [["--kind", "exec"], (i) => i % 2 === 0],
    [["--all", "--kind", "exec", "--account", "us"], (i) => i % 10 === 0],
    [["--class", "permanent", "--since", "1h"], (i) => i % 7 === 0 && i >= 50],
    [["--group", group(2), "--account", "eu"], (i) => i % 3 === 2 && i % 5],
    [["--since", "5m"], () => false],
  ]) assert.equal(json(["retry", ...words, "--dry-run"]).selected, expected(keep), words.join(" "));
  assert.equal(json(["discard", "--all", "--limit", "70", "--dry-run"]).selected, 70);
  assert.deepEqual(await redis.call("LRANGE", DEAD, 0, -1), before);
  assert.equal(json(["list", "--kind", "exec", "--account", "us", "--limit", "0"]).length, 20);
  assert.equal(json(["list", "--kind", "exec", "--limit", "3"]).length, 3);
  ok(["retry", "--kind", "exec", "--account", "us"]);
  assert.deepEqual(await numbers(), down(200, (n) => n % 10 !== 0));
});

test("--limit ends early, and the list stands as before without those that left", async () => {
  seed(1000);
  ok(["retry", "--group", group(2), "--limit", "150"]); // more than one slice
  const left = (n) => !(n % 3 === 2 && n < 450);
  assert.deepEqual(await numbers(), down(1000, left));
  assert.deepEqual((await rows())[2], { count: 183, first: 452, last: 998 }); // it knows how old the rest is
  ok(["discard", "--all", "--limit", "3", "--reason", "old"]);
  assert.deepEqual(await numbers(), down(1000, (n) => left(n) && n > 3)); // 0, 1, 3
  assert.deepEqual((await rows())[0], { count: 332, first: 6, last: 999 });
  assert.deepEqual((await rows())[1], { count: 332, first: 4, last: 997 });
});

test("the age of a group follows the letters that are taken by their ids", async () => {
  seed(9);
  ok(["retry", "j0", "j4"]);
  assert.deepEqual(await rows(), { 0: { count: 2, first: 3, last: 6 }, 1: { count: 2, first: 1, last: 7 }, 2: { count: 3, first: 2, last: 8 } });
});

test("what dies while a move goes on stays on top and is not touched", async () => {
  seed(60);
  const run = spawn(bin, ["dead", "retry", "--group", group(0), "--rate", "40/s", "--quiet"], { env });
  const ended = new Promise((r) => run.on("close", r));
  while (!(await pending()).length) await new Promise((r) => setTimeout(r, 2)); // it has begun
  for (let n = 100; n < 106; n++) {
    await redis.call("LPUSH", DEAD, letter(n, { of: 0 }));
    await new Promise((r) => setTimeout(r, 40));
  }
  assert.equal(await ended, 0);
  assert.deepEqual(await numbers(), [...down(106, (n) => n >= 100), ...down(60, (n) => n % 3 !== 0)]);
  assert.equal((await pending()).length, 20);
});

test("Ctrl-C ends a move between two slices; what is left keeps its order", async () => {
  seed(400);
  const run = spawn(bin, ["dead", "retry", "--group", group(1), "--rate", "20/s", "--quiet"], { env });
  let out = "";
  let err = "";
  run.stdout.on("data", (d) => (out += d));
  run.stderr.on("data", (d) => (err += d));
  const ended = new Promise((r) => run.on("close", r));
  while ((await pending()).length < 10) await new Promise((r) => setTimeout(r, 5));
  run.kill("SIGINT");
  assert.equal(await ended, 1);
  const moved = (await pending()).length;
  assert.equal(out, `queued again ${moved} jobs\n`);
  assert.match(err, /interrupted: the others stay as they were/);
  assert.ok(moved < 100, `${moved} were moved`);
  assert.deepEqual(await numbers(), down(400, (n) => n % 3 !== 1 || n >= 3 * moved + 1));
});

test("two at once: every letter is moved once", async () => {
  seed(2000);
  const go = (words) => new Promise((r) => spawn(bin, ["dead", ...words, "--quiet"], { env, stdio: "ignore" }).on("close", r));
  assert.deepEqual(await Promise.all([go(["retry", "--all"]), go(["retry", "--all"]), go(["retry", "--group", group(0)])]), [0, 0, 0]);
  while ((await numbers()).length) ok(["retry", "--all"]); // a selection may have been looked at by two
  assert.deepEqual((await pending()).map(({ data }) => data.n).sort((a, b) => a - b), Array.from({ length: 2000 }, (_, i) => i));
  assert.deepEqual(await rows(), {});
});

test("what is no job stays in its place and is counted", async () => {
  seed(5);
  await redis.call("LPUSH", DEAD, "not ours\nat all");
  ok(["import", file("more.jsonl", [letter(7), letter(8, { job: undefined, raw: "{\"kind\":" }), letter(9)]), "--quiet"]);
  const run = ok(["retry", "--all"]);
  assert.match(run.out, /queued again 7 jobs/);
  assert.match(run.err, /2 stay: they are no jobs/);
  assert.deepEqual(await redis.call("LRANGE", DEAD, 0, -1), [letter(8, { job: undefined, raw: "{\"kind\":" }), "not ours\nat all"]);
  assert.deepEqual(json(["retry", "--all", "--dry-run"]), { selected: 0, unreadable: 2 });
  assert.equal(lockstep(["retry", "j8"]).code, 1);
  const skipped = ok(["export", "--all"]);
  assert.equal(skipped.out, `${letter(8, { job: undefined, raw: "{\"kind\":" })}\n`);
  assert.match(skipped.err, /1 are no letters of ours on one line/);
  assert.deepEqual(json(["discard", "--all", "--reason", "no jobs"]), { moved: 2, unreadable: 0 });
});

test("export writes the letters' bytes, the oldest first; import puts them back", async () => {
  seed(1000, (i) => (i % 4 ? {} : { error: `é "quoted"\n\u0001 ${"x".repeat(3000)}` }));
  const all = await redis.call("LRANGE", DEAD, 0, -1);
  const groups = await rows();
  const exported = ok(["export", "--all"]);
  assert.equal(exported.out, all.toReversed().map((text) => `${text}\n`).join(""));
  assert.match(exported.err, /exported 1000 letters/);
  assert.equal(ok(["export", "--group", group(1), "--limit", "2"]).out, `${all[998]}\n${all[995]}\n`);
  assert.equal(ok(["export", "j3", "--id", "j1"]).out, `${all[998]}\n${all[996]}\n`);
  assert.equal(lockstep(["export", "j3", "nobody"]).code, 1);
  writeFileSync(join(dir, "all.jsonl"), exported.out);

  await redis.call("FLUSHALL");
  assert.deepEqual(json(["import", "all.jsonl"]), { letters: 1000, imported: 1000, known: 0 });
  assert.deepEqual(await redis.call("LRANGE", DEAD, 0, -1), all);
  assert.deepEqual(await rows(), groups);
  assert.equal((await stats()).imported, "1000");
  assert.deepEqual(await redis.call("SMEMBERS", "lockstep:{fleet}:queues"), ["default"]);

  // Some have been dealt with since: only those come back, and not twice.
  ok(["discard", "--group", group(0), "--reason", "test"]);
  assert.match(ok(["import", "all.jsonl"]).out, /imported 334 letters; the others lay there already/);
  assert.deepEqual(json(["import", "-"], { input: exported.out }), { letters: 1000, imported: 0, known: 1000 });
  assert.equal((await stats()).imported, "1334");
  assert.equal(await redis.call("LLEN", DEAD), 1000);
  assert.deepEqual((await rows())[0], groups[0]);
  ok(["import", "all.jsonl", "--queue", "other", "--from", "999"]);
  assert.deepEqual(await numbers("other"), [999, 998]);
});

test("import: every bad line of a file is named and nothing is done; a pipe goes as far as it is good", async () => {
  const lines = [letter(0), "", letter(1), "nonsense", letter(2), '{"id":"x"}', letter(3)];
  const run = lockstep(["import", file("bad.jsonl", lines)]);
  assert.equal(run.code, 1);
  assert.match(run.err, /'bad\.jsonl' line 4: this is no dead letter: it is no JSON object/);
  assert.match(run.err, /'bad\.jsonl' line 6: this is no dead letter: it holds no job/);
  assert.match(run.err, /'bad\.jsonl' has 2 lines that are no dead letters/);
  assert.equal(await redis.call("EXISTS", DEAD), 0);
  const piped = lockstep(["import", "-"], { input: lines.join("\n") });
  assert.equal(piped.code, 1);
  assert.match(piped.err, /'-' line 4: this is no dead letter/);
  assert.match(piped.out, /^imported 2 letters/);
  assert.deepEqual(await numbers(), [1, 0]);
  assert.match(lockstep(["import", "none.jsonl"]).err, /cannot read 'none\.jsonl'/);
  const long = lockstep(["import", file("long.jsonl", [letter(1), letter(2, { error: "x".repeat(600_000) })])]);
  assert.match(long.err, /'long\.jsonl' line 2: longer than/);
});

test("import is refused when Redis is full; retry and discard are not", async () => {
  seed(10);
  await redis.call("CONFIG", "SET", "maxmemory", "1");
  const run = lockstep(["import", file("one.jsonl", [letter(50)])]);
  ok(["discard", "--group", group(1), "--reason", "room"]);
  ok(["retry", "--group", group(2)]);
  await redis.call("CONFIG", "SET", "maxmemory", "0");
  assert.equal(run.code, 1);
  assert.match(run.err, /OOM/);
  assert.match(run.err, /hint: redis is at its maxmemory/);
  assert.deepEqual(await numbers(), [9, 6, 3, 0]);
});

test("import --retry pushes the jobs instead", async () => {
  const history = [{ at: new Date(START).toISOString(), class: "transient", code: "refused", error: "no" }];
  const job = { account: "eu", id: "j0", kind: "http", data: { n: 0 }, attempt: 4, history };
  const lines = [letter(0, { job }), letter(1), letter(2, { job: { account: "eu", id: "j2", key: "k", kind: "http" } })];
  assert.match(ok(["import", file("jobs.jsonl", lines), "--retry"]).out, /^queued again 3 jobs/);
  assert.equal(await redis.call("EXISTS", DEAD), 0);
  assert.deepEqual(await redis.call("LRANGE", "lockstep:{default}:pending", 0, -1),
    ['{"account":"eu","id":"j0","kind":"http","data":{"n":0}}', '{"account":"eu","id":"j1","kind":"http","data":{"n":1}}', "@k"]);
  const run = lockstep(["import", file("jobs.jsonl", [letter(3), letter(4, { job: undefined, raw: "{" })]), "--retry"]);
  assert.equal(run.code, 1);
  assert.match(run.err, /line 2: this dead job cannot run again/);
  assert.equal(await redis.call("LLEN", "lockstep:{default}:pending"), 3);
});

test("discard leaves a line: who, when, why, how many, which", async () => {
  seed(500);
  assert.match(ok(["discarded"]).out, /nothing was discarded/);
  ok(["discard", "--group", group(1), "--class", "transient", "--reason", 'wrong "prices"\u001b[31m, ask Ann']);
  ok(["discard", "j0", "j3", "--reason", "tests"]);
  const log = json(["discarded"]);
  assert.deepEqual(log.map(({ jobs, selection, reason }) => [jobs, selection, reason]),
    [[2, "ids j0 j3", "tests"], [167, `group ${group(1)}, class transient`, 'wrong "prices"\u001b[31m, ask Ann']]);
  assert.match(log[0].by, /^\S+@\S+$/);
  assert.ok(Math.abs(Date.parse(log[0].at) - Date.now()) < 60_000);
  assert.equal(await redis.call("LLEN", `${DEAD}:discarded`), 2); // two slices, one line
  const people = ok(["discarded", "--limit", "2"]).out;
  assert.match(people, /^WHEN +JOBS +BY +WHICH +REASON\n/);
  assert.doesNotMatch(people, /\u001b/);
  assert.equal(json(["discarded", "--limit", "1"]).length, 1);
});

test("show prints the history as a table, groups what they are made of", async () => {
  const history = [
    { at: "2026-11-23T00:50:00.000Z", class: "transient", status: 503, code: "http-503", error: "'x' answered \"503\"" },
    { at: "2026-11-23T00:51:00.000Z", class: "unknown", code: "connection_lost", error: "a\u001b[31mb" },
  ];
  ok(["import", file("h.jsonl", [letter(0, { history }), letter(1, { of: 1, kind: "exec", code: "exit-3", http_status: undefined }), letter(2, { of: 1 })]), "--quiet"]);
  const shown = ok(["show", "j0"]).out;
  assert.match(shown, /^code +http-500$/m);
  assert.match(shown, /^ATTEMPT +CLASS +HTTP +CODE +ERROR\n2026-11-23T00:50:00\.000Z +transient +503 +http-503 +'x' answered "503"\n2026-11-23T00:51:00\.000Z +unknown +connection_lost +a\\x1b\[31mb\n$/m);
  assert.deepEqual(JSON.parse(ok(["show", "j0", "--json"]).out).history, history);
  assert.doesNotMatch(ok(["show", "j1"]).out, /ATTEMPT/);
  const [first, second] = json(["groups"]);
  assert.deepEqual([first.group, first.count, first.kind, first.code], [group(1), 2, "http", "http-500"]);
  assert.deepEqual([second.count, second.account, second.class, second.http_status], [1, "eu", "transient", 500]);
  assert.deepEqual(json(["list"]).map(({ code }) => code), ["http-500", "exit-3", "http-500"]);
});

test("the files of an export are read and written as they grow, not kept", () => {
  const big = "y".repeat(60_000);
  seed(2500, () => ({ error: big })); // 150 MB
  const limit = process.env.LS_SANITIZED ? "" : "ulimit -v 100000;"; // a sanitizer's own memory is beyond any limit
  const out = spawnSync("/bin/sh", ["-c", `${limit} exec ${bin} dead export --all --quiet > big.jsonl`], { cwd: dir, env, encoding: "utf8" });
  assert.equal(out.status, 0, out.stderr);
  assert.match(spawnSync("wc", ["-l", "big.jsonl"], { cwd: dir, encoding: "utf8" }).stdout, /^2500 /);
  const full = spawnSync("/bin/sh", ["-c", `exec ${bin} dead export --all --quiet > /dev/full`], { cwd: dir, env, encoding: "utf8" });
  assert.equal(full.status, 1);
  assert.match(full.stderr, /cannot write the letters: No space left on device/);
});
