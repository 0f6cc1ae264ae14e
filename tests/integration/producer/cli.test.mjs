// The command line against a private Redis: what it prints, where jobs end up, what it says when something is wrong.
import { test, before, after, beforeEach } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync, existsSync, readFileSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

// A build without libyaml reads no configuration files.
const skip = process.env.LS_WITH_YAML === "0" ? "built without libyaml" : false;
const bin = resolve(process.env.LS_BUILD_DIR ?? "build", "bin", "lockstep");
const dir = mkdtempSync(join(tmpdir(), "ls-cli-"));
const socket = join(dir, "redis.sock");
let server;

function redis(...words) {
  const run = spawnSync("redis-cli", ["-s", socket, ...words], { encoding: "utf8" });
  return run.stdout.replace(/\n$/, "");
}

// env LOCKSTEP_REDIS points at the private Redis unless given otherwise.
function lockstep(words, { env = {}, input = "", cwd = dir } = {}) {
  const run = spawnSync(bin, words, {
    encoding: "utf8", input, cwd, timeout: 20000,
    env: { PATH: process.env.PATH, LOCKSTEP_REDIS: `unix://${socket}`, ...env },
  });
  assert.equal(run.error, undefined);
  return { code: run.status, out: run.stdout, err: run.stderr };
}

function ok(words, options) {
  const run = lockstep(words, options);
  assert.equal(run.code, 0, `${words.join(" ")}: ${run.out}${run.err}`);
  return run;
}

function json(words, options) {
  return JSON.parse(ok([...words, "--json"], options).out);
}

const letter = (id, group, extra = {}) => JSON.stringify({
  id, kind: "http", error: `peer answered 500`, class: "transient", why: "max_attempts", http_status: 500, attempts: 5, crashes: 0,
  first_failed_at: "2026-11-23T00:50:00.000Z", failed_at: "2026-11-23T00:51:00.123Z", worker: "h-1-aa", fence: 17, group,
  job: { id, kind: "http", data: { n: id } }, ...extra,
});

before(async () => {
  server = spawn("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir], { stdio: "ignore" });
  for (let i = 0; i < 500 && redis("PING") !== "PONG"; i++) await new Promise((r) => setTimeout(r, 10));
  assert.equal(redis("PING"), "PONG");
});
after(() => {
  server.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => redis("FLUSHALL"));

test("help lists the commands, and each command shows its own", () => {
  const all = ok([]).out;
  for (const name of ["init", "up", "doctor", "config", "push", "queue", "job", "dead", "worker", "account", "redis-cli"]) {
    assert.match(all, new RegExp(`^  ${name} `, "m"));
    assert.match(ok(["help", name]).out, new RegExp(`^usage: lockstep ${name}`));
    assert.equal(ok([name, "--help"]).out, ok(["help", name]).out);
  }
  assert.match(ok(["--version"]).out, /^lockstep \d+\.\d+\.\d+\n$/);
});

test("misuse exits 2 and names the nearest word", () => {
  for (const [words, hint] of [
    [["psuh"], /did you mean 'lockstep push'/],
    [["push", "noop", "--id", ""], /help push/],
    [["push", "--bulk", "-", "--priority", "high"], /help push/],
    [["push", "noop", "--qeue", "x"], /did you mean '--queue'/],
    [["push"], /which kind/],
    [["push", "porduct"], /did you mean 'product'/],
    [["push", "noop", "--priority", "urgent"], /high, normal or low/],
    [["push", "noop", "--delay", "10"], /250ms, 10s/],
    [["push", "noop", "--data", "{"], /JSON/],
    [["push", "noop", "--delay", "1s", "--at", "2030-01-01T00:00:00Z"], /either/],
    [["push", "noop", "--key", 'a"b'], /key/],
    [["push", "noop", "--queue", "Bad Name"], /Bad Name/],
    [["queue", "pause"], /which queue/],
    [["dead", "retry"], /--all/],
    [["dead", "discard"], /--all/],
  ]) {
    const run = lockstep(words);
    assert.equal(run.code, 2, words.join(" "));
    assert.match(run.err, hint);
    assert.match(run.err, /^lockstep: .*\nhint: /s);
    assert.equal(run.out, "");
  }
  assert.equal(redis("DBSIZE"), "0");
});

test("push puts a canonical envelope into its lane", () => {
  const { id, state, queue } = json(["push", "http", "--account", "shop-eu", "--data", '{"url":"http://x"}', "--priority", "low", "--max-attempts", "5"]);
  assert.equal(state, "queued");
  assert.equal(queue, "default");
  assert.equal(redis("LINDEX", "lockstep:{default}:pending:low", "0"),
    `{"account":"shop-eu","id":"${id}","kind":"http","data":{"url":"http://x"},"max_attempts":5,"priority":"low"}`);
  writeFileSync(join(dir, "data.json"), '{"from":"file"}\n');
  ok(["push", "noop", "--data", "@data.json", "--id", "f"]);
  ok(["push", "noop", "--data", "-", "--id", "s"], { input: '{"from":"stdin"}' });
  assert.equal(redis("LINDEX", "lockstep:{default}:pending", "0"), '{"id":"f","kind":"noop","data":{"from":"file"}}');
  assert.equal(redis("LINDEX", "lockstep:{default}:pending", "1"), '{"id":"s","kind":"noop","data":{"from":"stdin"}}');
});

test("an id is taken once, a key coalesces, a delay waits", () => {
  assert.match(ok(["push", "noop", "--id", "once"]).out, /^queued once/);
  assert.match(ok(["push", "noop", "--id", "once"]).out, /^known once/);
  assert.match(ok(["push", "noop", "--key", "k"]).out, /^queued/);
  assert.match(ok(["push", "noop", "--key", "k"]).out, /^coalesced/);
  ok(["push", "noop", "--delay", "10m", "--id", "later"]);
  const at = Math.floor(Date.now() / 1000) + 300 * 24 * 3600;
  ok(["push", "noop", "--at", new Date(at * 1000).toISOString().replace(".000", ""), "--id", "far"]);
  assert.equal(redis("ZSCORE", "lockstep:{default}:delayed", '{"id":"far","kind":"noop"}').slice(0, 8), String(at).slice(0, 8));
  const [queue] = json(["queue", "list"]);
  assert.equal(queue.waiting, 2);
  assert.equal(queue.delayed, 2);
});

test("--wait says queued when nobody runs the job, done and dead when somebody did", async () => {
  assert.match(ok(["push", "noop", "--wait", "100ms"]).out, /^queued /);
  for (const [state, code] of [["done", 0], ["dead", 1]]) {
    const id = `w-${state}`;
    const run = spawn(bin, ["push", "noop", "--id", id, "--wait", "10s"], { env: { PATH: process.env.PATH, LOCKSTEP_REDIS: `unix://${socket}` } });
    let out = "";
    run.stdout.on("data", (d) => (out += d));
    for (let i = 0; i < 500 && redis("GET", `lockstep:{default}:status:${id}`) !== "pending"; i++) await new Promise((r) => setTimeout(r, 10));
    redis("LPUSH", "lockstep:{default}:dead", letter(id, "g"));
    redis("SET", `lockstep:{default}:status:${id}`, state);
    assert.equal(await new Promise((r) => run.on("close", r)), code);
    assert.equal(out, `${state} ${id}\n`);
  }
});

test("--bulk checks a whole file before it pushes, and names the line", () => {
  const lines = [];
  for (let i = 0; i < 2500; i++) lines.push(`{"kind":"noop","data":{"n":${i}}}`);
  writeFileSync(join(dir, "jobs.jsonl"), `${lines.join("\n")}\n\n{"id":"last","kind":"noop"}`);
  assert.match(ok(["push", "--bulk", "jobs.jsonl"]).out, /^pushed 2501 of 2501 jobs/);
  assert.equal(redis("LLEN", "lockstep:{default}:pending"), "2501");
  assert.match(redis("LINDEX", "lockstep:{default}:pending", "2000"), /"n":2000}/);
  assert.deepEqual(json(["push", "--bulk", "jobs.jsonl", "--from", "2502"]), { jobs: 1, pushed: 0, known: 1, coalesced: 0, changed: 0 });
  redis("FLUSHALL");
  for (const [bad, why] of [['{"kind":"bogus"}', /unknown kind 'bogus'/], ["nonsense", /line 2300/], ['{"data":1}', /kind/], [`{"kind":"noop","data":"${"x".repeat(70000)}"}`, /longer than/]]) {
    lines[2299] = bad;
    writeFileSync(join(dir, "jobs.jsonl"), lines.join("\n"));
    const run = lockstep(["push", "--bulk", "jobs.jsonl"]);
    assert.notEqual(run.code, 0);
    assert.match(run.err, /'jobs.jsonl' line 2300: /);
    assert.match(run.err, why);
  }
  assert.equal(redis("EXISTS", "lockstep:{default}:pending"), "0");
  const piped = lockstep(["push", "--bulk", "-", "--quiet"], { input: '{"kind":"noop"}\n{"kind":"noop"}\n{"knd":1}\n' });
  assert.equal(piped.code, 1);
  assert.match(piped.err, /'-' line 3: .*\n2 jobs are in for sure/s);
  assert.equal(redis("LLEN", "lockstep:{default}:pending"), "2");
});

test("--bulk sends each job to the queue of its account, and says when nobody works there", { skip }, () => {
  writeFileSync(join(dir, "lockstep.yaml"), "queues: {shops: {}}\naccounts: {shop-eu: {platform: woocommerce, url: 'https://shop.example', queue: shops}}\n");
  const lines = ['{"account":"shop-eu","kind":"noop"}', '{"kind":"noop"}', '{"account":"other","kind":"noop"}'].join("\n");
  const run = ok(["push", "--bulk", "-"], { input: lines });
  assert.equal(redis("LLEN", "lockstep:{shops}:pending"), "1");
  assert.equal(redis("LLEN", "lockstep:{default}:pending"), "2");
  assert.match(run.err, /no worker serves queue 'shops' now.*'lockstep up'/);
  assert.equal(ok(["push", "--bulk", "-", "--quiet", "--queue", "all"], { input: lines }).err, "");
  assert.equal(redis("LLEN", "lockstep:{all}:pending"), "3");
  redis("ZADD", "lockstep:{all}:workers", "1", "w");
  assert.equal(ok(["push", "noop", "--queue", "all"]).err, "");
  rmSync(join(dir, "lockstep.yaml"));
});

test("a Redis that may drop jobs takes none, but can be looked at", () => {
  redis("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
  for (const words of [["push", "noop"], ["push", "--bulk", "-"]]) {
    const run = lockstep(words, { input: '{"kind":"noop"}' });
    assert.equal(run.code, 1);
    assert.match(run.err, /may evict jobs: maxmemory_policy is 'allkeys-lru'\nhint: .*noeviction/);
  }
  assert.equal(redis("DBSIZE"), "0");
  ok(["queue", "list"]);
  redis("CONFIG", "SET", "maxmemory-policy", "noeviction");
  ok(["push", "noop"]);
});

test("queues: list, show, pause, resume", () => {
  ok(["push", "noop", "--queue", "other"]);
  assert.deepEqual(json(["queue", "list"]).map((q) => [q.queue, q.waiting]), [["default", 0], ["other", 1]]);
  assert.match(ok(["queue", "list"]).out, /^QUEUE .*WAITING.*OLDEST/);
  ok(["queue", "pause", "other", "--reason", "maintenance"]);
  assert.match(ok(["queue", "pause", "other"]).out, /already/);
  assert.equal(json(["queue", "list"])[1].paused, true);
  const shown = json(["queue", "show", "other"]);
  assert.deepEqual([shown.queue, shown.paused, shown.waiting, shown.next_due_ms], ["other", true, 1, null]);
  assert.match(shown.paused_by, /maintenance/);
  assert.match(ok(["queue", "show", "other"]).out, /paused by +cli on .*: maintenance/);
  ok(["queue", "resume", "other"]);
  assert.equal(json(["queue", "list"])[1].paused, false);
});

test("dead: list, groups, show, retry, discard", () => {
  for (let i = 0; i < 300; i++) redis("LPUSH", "lockstep:{default}:dead", letter(`j${i}`, i % 3 ? "aaaa" : "bbbb"));
  redis("LPUSH", "lockstep:{default}:dead", JSON.stringify({ error: "not JSON", class: "malformed", attempts: 0, crashes: 0, failed_at: "2026-11-23T00:51:00.123Z", raw: "bro\u001b[31mken" }));
  const rows = json(["dead", "list", "--limit", "0"]);
  assert.equal(rows.length, 301);
  assert.equal(rows[1].id, "j299");
  assert.equal(rows[1].error, "peer answered 500");
  assert.equal(json(["dead", "list", "--group", "bbbb", "--limit", "0"]).length, 100);
  assert.match(ok(["dead", "show", "j7"]).out, /error +peer answered 500\n/);
  assert.equal(JSON.parse(ok(["dead", "show", "j7", "--json"]).out).fence, 17);
  assert.equal(ok(["dead", "show", "j7", "--raw"]).out, '{"id":"j7","kind":"http","data":{"n":"j7"}}');
  assert.equal(ok(["dead", "show", "0", "--raw"]).out, "bro\u001b[31mken"); // exactly the bytes
  assert.doesNotMatch(ok(["dead", "show", "0"]).out, /\u001b/); // but nothing that steers a terminal
  assert.equal(lockstep(["dead", "show", "nobody"]).code, 1);

  ok(["dead", "retry", "--id", "j150"]);
  assert.equal(redis("LLEN", "lockstep:{default}:dead"), "300");
  assert.equal(redis("LINDEX", "lockstep:{default}:pending", "0"), '{"id":"j150","kind":"http","data":{"n":"j150"}}');
  assert.deepEqual(json(["dead", "discard", "--group", "bbbb", "--reason", "stale"]), { moved: 99, unreadable: 0 });
  assert.equal(json(["dead", "list", "--limit", "0"]).length, 201);
  const run = ok(["dead", "retry", "--all"]);
  assert.match(run.out, /queued again 200 jobs/);
  assert.match(run.err, /1 stay/);
  assert.equal(redis("LLEN", "lockstep:{default}:pending"), "201");
  assert.match(redis("LINDEX", "lockstep:{default}:pending", "1"), /"j1"/); // the oldest first
  assert.deepEqual(json(["dead", "discard", "--all", "--reason", "no job"]), { moved: 1, unreadable: 0 });
  assert.match(ok(["dead", "list"]).out, /no dead jobs/);
});

test("dead list fits a terminal of 80 columns, and cuts no id", { skip: spawnSync("script", ["--version"]).status !== 0 }, () => {
  const id = "01M8344R5C8VFRGEYZ00BKNP2G";
  redis("LPUSH", "lockstep:{default}:dead", letter(id, "aaaa", { key: "shop-eu/product/l-1234567890", error: "'https://shop.example/wp-json/wc/v3/products/1' answered 500" }));
  const run = spawnSync("script", ["-qec", `stty cols 80; ${bin} dead list`, "/dev/null"],
    { encoding: "utf8", cwd: dir, env: { ...process.env, LOCKSTEP_REDIS: `unix://${socket}` } });
  const lines = run.stdout.replaceAll("\r", "").trimEnd().split("\n");
  assert.equal(lines.length, 2, run.stdout);
  for (const line of lines) assert.ok([...line].length <= 80, line);
  assert.match(lines[1], new RegExp(` ago .*http.* ${id} .*…$`));
});

test("dead retry --rate paces", () => {
  for (let i = 0; i < 8; i++) redis("LPUSH", "lockstep:{default}:dead", letter(`j${i}`, "aaaa"));
  const before = Date.now();
  ok(["dead", "retry", "--all", "--rate", "20/s"]);
  assert.ok(Date.now() - before >= 350, "8 jobs at 20/s take 0.4 s");
  assert.equal(lockstep(["dead", "retry", "--all", "--rate", "fast"]).code, 2);
});

test("job show finds a job wherever it is", () => {
  for (let i = 0; i < 450; i++) redis("RPUSH", "lockstep:{default}:pending", `{"id":"p${i}","kind":"noop"}`);
  ok(["push", "noop", "--id", "d1", "--delay", "10m"]);
  ok(["push", "noop", "--id", "k1", "--key", "k"]);
  ok(["push", "noop", "--id", "o1", "--queue", "other"]);
  redis("LPUSH", "lockstep:{default}:dead", letter("x1", "g"));
  redis("ZADD", "lockstep:{default}:workers", String(Date.now() + 60000), "w-1-ab");
  redis("HSET", "lockstep:{default}:running:w-1-ab", "1700000000000001", '{"id":"r1","kind":"noop"}');
  redis("SET", "lockstep:{default}:status:gone", "done");
  const states = Object.fromEntries(["p440", "d1", "k1", "o1", "x1", "r1", "gone"].map((id) => [id, json(["job", "show", id])]));
  assert.deepEqual(Object.values(states).map((s) => s.state), ["pending", "delayed", "pending", "pending", "dead", "running", "done"]);
  assert.equal(states.p440.index, 440);
  assert.equal(states.o1.queue, "other");
  assert.equal(states.r1.fence, 1700000000000001);
  assert.ok(states.d1.due_ms > Date.now());
  assert.match(ok(["job", "show", "r1"]).out, /running:w-1-ab/);
  const lost = lockstep(["job", "show", "nope"]);
  assert.equal(lost.code, 1);
  assert.match(lost.err, /no job 'nope'/);
  assert.match(ok(["job", "cancel", "p3"]).out, /dropped when it is claimed/);
  assert.deepEqual(json(["worker", "list"]).map((w) => [w.worker, w.running]), [["w-1-ab", 1]]);
});

test("nothing from outside steers the terminal", () => {
  redis("SADD", "lockstep:{fleet}:queues", "evil\u001b[2J");
  redis("LPUSH", "lockstep:{default}:dead", letter("e", "g", { error: "a\u001b[31mb\nc\u202ed" }));
  assert.doesNotMatch(ok(["queue", "list"]).out, /\u001b/);
  const { out } = ok(["dead", "list"]);
  assert.doesNotMatch(out, /[\u001b\u202e]/);
  assert.equal(out.trimEnd().split("\n").length, 2);
  const run = lockstep(["push", "no\u001b[31m"]);
  assert.doesNotMatch(run.err, /\u001b/);
});

test("without a pool every command says so and names lockstep up", () => {
  const away = mkdtempSync(join(dir, "away-"));
  for (const words of [["push", "noop"], ["queue", "list"], ["dead", "list"], ["worker", "list"], ["job", "show", "x"], ["redis-cli", "PING"]]) {
    const run = lockstep(words, { env: { LOCKSTEP_REDIS: "" }, cwd: away });
    assert.equal(run.code, 1);
    assert.match(run.err, /^lockstep: no pool is running here: .*redis\.sock'\nhint: start one with 'lockstep up'/);
  }
});

test("a Redis that is away, or wants a password, is named without the password", () => {
  const run = lockstep(["push", "noop"], { env: { LOCKSTEP_REDIS: "redis://:s3cret@127.0.0.1:1/0" } });
  assert.equal(run.code, 1);
  assert.match(run.err, /cannot reach redis at 'redis:\/\/127\.0\.0\.1:1\/0'/);
  assert.doesNotMatch(run.err, /s3cret/);
  redis("CONFIG", "SET", "requirepass", "pw");
  const refused = lockstep(["queue", "list"]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /hint: /);
  assert.equal(lockstep(["queue", "list"], { env: { LOCKSTEP_REDIS: `unix://${socket}?password=pw` } }).code, 0);
  assert.match(ok(["redis-cli", "PING"], { env: { LOCKSTEP_REDIS: `unix://${socket}?password=pw` } }).out, /PONG/);
  spawnSync("redis-cli", ["-s", socket, "-a", "pw", "CONFIG", "SET", "requirepass", ""]);
});

test("redis-cli goes to the right Redis with the words as they are", () => {
  ok(["push", "noop", "--id", "a b".replace(" ", "-")]);
  assert.match(ok(["redis-cli", "LRANGE", "lockstep:{default}:pending", "0", "-1"]).out, /"kind":"noop"|kind/);
  assert.equal(ok(["redis-cli", "ECHO", "--json"]).out.trim(), "--json");
});

test("config check names file, line and column of every problem", { skip }, () => {
  writeFileSync(join(dir, "bad.yaml"), "runrs: 2\nredis: http://x\n");
  const run = lockstep(["config", "check", "--config", "bad.yaml"], { env: { LOCKSTEP_REDIS: "" } });
  assert.equal(run.code, 1);
  assert.match(run.out, /^bad\.yaml:1:1: unknown key 'runrs'\nhint: did you mean 'runners'\?\nbad\.yaml:2:8: /);
  const problems = JSON.parse(lockstep(["config", "check", "--json", "--config", "bad.yaml"], { env: { LOCKSTEP_REDIS: "" } }).out);
  assert.deepEqual(problems.map((p) => [p.line, p.column, p.kind]), [[1, 1, "error"], [2, 8, "error"]]);
  assert.match(lockstep(["config", "check", "--config", "none.yaml"]).err, /no configuration at 'none\.yaml'/);
  assert.match(ok(["config", "keys"]).out, /\| `runners` \|/);
});

test("init writes a configuration that is in order and tries its connections", { skip }, () => {
  const home = mkdtempSync(join(dir, "init-"));
  const env = { LOCKSTEP_REDIS: "" };
  const first = lockstep(["init"], { env, cwd: home });
  assert.match(first.out, /ok +redis +embedded: redis-server/);
  assert.match(first.err, /wrote lockstep\.yaml/);
  assert.match(ok(["config", "check"], { env, cwd: home }).out, /is in order/);
  const text = readFileSync(join(home, "lockstep.yaml"), "utf8");
  // Everything commented out is valid, too: take the marks away and check again.
  mkdirSync(join(home, "full"));
  writeFileSync(join(home, "full", "lockstep.yaml"), text.replace(/^# (store: )/m, "$1").replace(/^# (?=(accounts|syncs|alerts|  ).*)/gm, ""));
  assert.match(ok(["config", "check"], { env: { ...env, WC_KEY: "ck", WC_SECRET: "cs" }, cwd: join(home, "full") }).out, /is in order/);
  assert.match(lockstep(["init"], { env, cwd: home }).err, /stays as it is/);
  const bad = lockstep(["init", "db.yaml", "--store", "sqlite:none.db"], { env, cwd: home });
  assert.equal(bad.code, 1);
  assert.match(bad.out, /FAIL +store +cannot open the database/);
});

test("up says how to reach its Redis and becomes the worker", { skip }, () => {
  const home = mkdtempSync(join(dir, "up-"));
  writeFileSync(join(home, "lockstep.yaml"), "runners: 0\n");
  const bad = lockstep(["up"], { env: { LOCKSTEP_REDIS: "" }, cwd: home });
  assert.equal(bad.code, 1);
  assert.match(bad.err, /lockstep\.yaml:1:10: 'runners' cannot be '0'/);
});

test("doctor answers twelve questions, and fails where nobody works", () => {
  const home = mkdtempSync(join(dir, "doc-"));
  const run = lockstep(["doctor", "--json"], { cwd: home });
  assert.equal(run.code, 1);
  const lines = JSON.parse(run.out);
  assert.deepEqual(lines.map((l) => l.check), [
    "Sync timestamps being updated", "No duplicate records created", "Conflict resolution working", "Error handling implemented",
    "Retry logic configured", "Idempotency in place", "Monitoring and alerting active", "Queue processing healthy",
    "Data validation working", "Performance acceptable", "No growing backlog", "Logs capturing issues"]);
  assert.equal(lines[7].result, "fail");
  assert.match(lines[7].evidence, /has no worker/);
  assert.match(lines[7].remedy, /lockstep up/);
  assert.equal(lines[3].result, "ok");
  redis("LPUSH", "lockstep:{default}:dead", letter("x", "g"));
  const again = lockstep(["doctor"], { cwd: home });
  assert.match(again.out, /warn +4 +Error handling implemented +1 dead jobs/);
  const none = lockstep(["doctor"], { env: { LOCKSTEP_REDIS: "" }, cwd: home });
  assert.equal(none.code, 1);
  assert.match(none.out, /FAIL +8 .*no pool is running here/);
});

test("doctor looks into the application's database, too", { skip: skip || spawnSync("python3", ["-c", "import sqlite3"]).status !== 0 }, () => {
  const home = mkdtempSync(join(dir, "docs-"));
  spawnSync("python3", ["-c", "import sqlite3; d = sqlite3.connect('shop.db'); d.execute('create table products(id integer primary key, sku text)'); d.executemany('insert into products(sku) values(?)', [('a',), ('a',)]); d.commit()"], { cwd: home });
  writeFileSync(join(home, "lockstep.yaml"), `store: sqlite:shop.db
accounts: {shop: {platform: woocommerce, url: "http://127.0.0.1:1", consumer_key: a, consumer_secret: b}}
syncs: {products: {account: shop, table: products, fields: {sku: {}}}}
`);
  const fresh = JSON.parse(lockstep(["doctor", "--json"], { cwd: home }).out);
  if (/has no stores/.test(fresh[0].evidence)) return; // built without SQLite
  assert.equal(fresh[0].result, "fail");
  assert.match(fresh[0].remedy, /lockstep store install/);
  if (lockstep(["help", "store"]).code !== 0) return;
  ok(["store", "install"], { cwd: home });
  const lines = JSON.parse(lockstep(["doctor", "--json"], { cwd: home }).out);
  assert.match(lines[0].evidence, /products only observes/);
  assert.match(lines[1].evidence, /1 values of sku stand in more than one row/);
  assert.match(lines[1].remedy, /SELECT sku, COUNT/);
  assert.match(lines[2].evidence, /policy fields, 0 open/);
});
