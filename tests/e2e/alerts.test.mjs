// The four alerts, from the job that fails to the notice that arrives.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { httpJob, pause, pushRaw, until, withStage } from '../support/stage.mjs';

const firing = (receiver, type) => receiver.seen.map(({ body }) => JSON.parse(body)).filter((notice) => notice.status === 'firing' && (!type || notice.type === type));

describe('alerts', { concurrency: 4 }, () => {
    test('5 attempts, 2,000 ms, exponential, no jitter: 2, 4, 8, 16 s, then one dead letter and one alert', withStage(async (stage) => {
        const hook = await stage.receiver();
        const shop = await stage.receiver(() => 500);
        const pool = await stage.pool(`alerts: [{to: "${hook.url}/alert", secret: s3cret}]\nalert_rules: {tick: 200ms}`);
        const redis = await pool.redis();
        const job = { ...httpJob(`${shop.url}/x`, { a: 1 }), max_attempts: 5, backoff: { type: 'exponential', base: 2000, factor: 2, jitter: 'none' } };

        await redis.call('RPUSH', 'lockstep:{default}:pending', JSON.stringify(job));
        await until('five attempts', () => shop.seen.length === 5, 45_000);
        const delays = shop.seen.slice(1).map(({ at }, i) => Math.round((at - shop.seen[i].at) / 1000));
        assert.deepEqual(delays, [2, 4, 8, 16]);
        await until('the alert', () => hook.seen.length > 0);
        await pause(1000);
        assert.equal(await redis.call('LLEN', 'lockstep:{default}:dead'), 1);
        const letter = JSON.parse(await redis.call('LINDEX', 'lockstep:{default}:dead', 0));
        assert.equal(letter.attempts, 5);
        assert.equal(letter.http_status, 500);
        assert.equal(hook.seen.length, 1);
        const notice = JSON.parse(hook.seen[0].body);
        assert.equal(notice.service, 'data-sync');
        assert.equal(notice.severity, 'high');
        assert.equal(notice.type, 'sync_retry_exhausted');
        assert.equal(notice.count, 1);
        assert.equal(notice.job.kind, 'http');
        assert.equal(notice.job.attempts, 5);
        assert.match(notice.error, /500/);
        assert.equal(hook.seen[0].headers['x-lockstep-signature'], `sha256=${createHmac('sha256', 's3cret').update(hook.seen[0].body).digest('hex')}`);
        assert.equal(pool.count(/SYNC ALERT: sync_retry_exhausted/), 1);
        assert.equal(shop.seen.length, 5);
    }));

    test('many dead letters of one group: one notice, then one with the count after the cooldown', withStage(async (stage) => {
        const hook = await stage.receiver();
        const shop = await stage.receiver(() => 422);
        const pool = await stage.pool(`alerts: [{to: "${hook.url}/alert"}]\nalert_rules: {tick: 100ms, cooldown: 2s, min_samples: 100000, dead_rate: 0}`);
        const redis = await pool.redis();

        await pushRaw(redis, [httpJob(`${shop.url}/x`, { n: 0 })]);
        await until('the first notice', () => hook.seen.length === 1);
        await pushRaw(redis, Array.from({ length: 200 }, (_, n) => httpJob(`${shop.url}/x`, { n: n + 1 })));
        await until('the second notice', () => hook.seen.length === 2);
        assert.equal(JSON.parse(hook.seen[0].body).count, 1);
        assert.equal(JSON.parse(hook.seen[1].body).count, 200);
        await pause(500);
        assert.equal(hook.seen.length, 2);
    }));

    test('high_error_rate fires above 10 %, in JSON, for Slack and for a command', withStage(async (stage) => {
        const hook = await stage.receiver();
        const slack = await stage.receiver();
        let n = 0;
        const shop = await stage.receiver(() => (n++ % 4 === 0 ? 503 : 200));
        const page = stage.path('page.sh');
        const paged = stage.path('paged');

        writeFileSync(page, `#!/bin/sh\ncat >> ${paged}\n`);
        chmodSync(page, 0o755);
        const pool = await stage.pool(`alerts:\n  - {to: "${hook.url}/a"}\n  - {to: "${slack.url}/s", format: slack}\n  - {exec: ${page}}\nalert_rules: {tick: 200ms, window: 1m, exhausted: false}`);
        const redis = await pool.redis();
        await pushRaw(redis, Array.from({ length: 100 }, (_, i) => httpJob(`${shop.url}/x`, { i })));
        await until('the notice', () => firing(hook, 'high_error_rate').length === 1, 30_000);
        await until('Slack', () => slack.seen.length === 1);
        await until('the command', () => existsSync(paged) && readFileSync(paged, 'utf8').includes('\n'));
        const [notice] = firing(hook);
        assert.ok(notice.error_rate > 0.1 && notice.error_rate < 1);
        assert.match(notice.details, /\d+ failures out of \d+ syncs/);
        assert.match(JSON.parse(slack.seen[0].body).text, /SYNC ALERT\* \[high\] high_error_rate/);
        assert.equal(JSON.parse(readFileSync(paged, 'utf8')).type, 'high_error_rate');
    }));

    test('a webhook that is down: the notice is kept in Redis over a restart of the pool and arrives', withStage(async (stage) => {
        let open = false;
        const hook = await stage.receiver(() => (open ? 200 : 503));
        const shop = await stage.receiver(() => 422);
        const config = `alerts: [{to: "${hook.url}/alert"}]\nalert_rules: {tick: 100ms}`;
        const first = await stage.pool(config);

        await pushRaw(await first.redis(), [httpJob(`${shop.url}/x`, { n: 0 })]);
        await first.logged('alert.retry');
        assert.equal(await first.stop(), 0);
        const again = await stage.pool(config);
        const redis = await again.redis();
        assert.equal(await redis.call('LLEN', 'lockstep:{fleet}:alerts:unsent'), 1);
        open = true;
        await until('the notice to be taken', async () => (await redis.call('LLEN', 'lockstep:{fleet}:alerts:unsent')) === 0);
        await pause(500);
        const ids = new Set(hook.seen.map(({ body }) => JSON.parse(body).id));
        assert.equal(ids.size, 1);
    }));

    test('stale_data fires once when nothing is synced although syncs exist', withStage(async (stage) => {
        const hook = await stage.receiver();
        const server = await stage.redis();
        const pool = await stage.pool(`redis: ${server.url}
alerts: [{to: "${hook.url}/alert"}]
alert_rules: {tick: 100ms, stale: 1s, exhausted: false}
accounts: {shop: {platform: woocommerce, url: "${hook.url}", consumer_key: ck, consumer_secret: cs}}
store: sqlite:${stage.path('shop.db')}
syncs: {products: {account: shop, table: products, every: 1h, scan: 0, fields: {name: {}}}}`, { wait: false, args: ['--role', 'scheduler'] });

        assert.ok(pool);
        await until('the notice', () => firing(hook, 'stale_data').length === 1, 15_000);
        await pause(1000);
        assert.equal(firing(hook, 'stale_data').length, 1);
        assert.match(firing(hook, 'stale_data')[0].details, /No sync in/);
    }));
});
