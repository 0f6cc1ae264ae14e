// Starts a simulator or a sink as its users do, and speaks to it.
import { createHmac, randomBytes } from 'node:crypto';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import http from 'node:http';
import https from 'node:https';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));

export function startScript(script, args = []) {
    const child = spawn(process.execPath, [join(FOLDER, script), '--exit-with-stdin', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    return new Promise((resolve, reject) => {
        let text = '';
        child.on('error', reject).on('exit', (code) => reject(new Error(`${script} ended with ${code}`)));
        child.stdout.on('data', (chunk) => {
            text += chunk;
            if (text.includes('\n')) {
                resolve({ ...JSON.parse(text), child, stop: () => stopChild(child) });
            }
        });
    });
}

function stopChild(child) {
    if (child.exitCode !== null) {
        return child.exitCode;
    }
    return new Promise((resolve) => {
        child.once('exit', resolve);
        child.kill('SIGTERM');
    });
}

// A running shop with the ways to call it: get/put/... sign as the site demands, person() uses the back door.
export async function startShop(args = []) {
    const started = await startScript('woocommerce/server.mjs', args);
    const shop = { ...started, ca: undefined };
    shop.call = (method, path, options = {}) => call(shop, method, path, options);
    shop.get = (path, options) => shop.call('GET', path, options);
    shop.put = (path, body) => shop.call('PUT', path, { body });
    shop.post = (path, body) => shop.call('POST', path, { body });
    shop.delete = (path) => shop.call('DELETE', path);
    shop.person = (method, path, body) => exchange(method, started.admin + path, { body }).then(({ json }) => json);
    return shop;
}

export async function startTlsShop(args = []) {
    const folder = mkdtempSync(join(tmpdir(), 'lockstep-tls-'));
    const run = (...words) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
    run('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test authority');
    run('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'site.key', '-out', 'site.csr', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1');
    run('x509', '-req', '-in', 'site.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'site.pem', '-days', '2', '-copy_extensions', 'copy');
    const shop = await startShop(['--tls-cert', join(folder, 'site.pem'), '--tls-key', join(folder, 'site.key'), ...args]);
    shop.ca = readFileSync(join(folder, 'ca.pem'));
    rmSync(folder, { recursive: true });
    return shop;
}

// options: {body, query, headers, auth: false | overrides of the OAuth parameters, method (HMAC-SHA1 or 256), key, secret}.
function call(shop, method, path, { body, query = {}, headers = {}, auth = {}, key = shop.consumer_key, secret = shop.consumer_secret, raw } = {}) {
    const url = `${shop.url}/wp-json${path.startsWith('/wc') || path === '/' ? '' : '/wc/v3'}${path}`;
    let all = query;
    let all_headers = headers;
    if (auth !== false && shop.url.startsWith('https')) {
        all_headers = { authorization: `Basic ${Buffer.from(`${key}:${secret}`).toString('base64')}`, ...headers };
    } else if (auth !== false) {
        all = sign(method, url, query, key, secret, auth);
    }
    const search = Object.entries(all).map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
    return exchange(method, search ? `${url}?${search}` : url, { body, headers: all_headers, ca: shop.ca, raw });
}

// An own signature, so that the shop's check is not compared with itself.
export function sign(method, url, query, key, secret, overrides) {
    const { oauth_signature: forged, ...given } = overrides;
    const params = {
        ...query, oauth_consumer_key: key, oauth_timestamp: String(Math.floor(Date.now() / 1000)),
        oauth_nonce: randomBytes(12).toString('hex'), oauth_signature_method: 'HMAC-SHA256', ...given,
    };
    const joined = Object.keys(params).sort().map((name) => `${encode(name)}=${encode(params[name])}`).join('&');
    const base = `${method}&${encode(url)}&${encode(joined)}`;
    const algorithm = params.oauth_signature_method === 'HMAC-SHA1' ? 'sha1' : 'sha256';
    return { ...params, oauth_signature: forged ?? createHmac(algorithm, `${secret}&`).update(base).digest('base64') };
}

const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export function exchange(method, url, { body, headers = {}, ca, raw, timeoutMs = 5000 } = {}) {
    const bytes = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const library = url.startsWith('https') ? https : http;
    return new Promise((resolve, reject) => {
        const request = library.request(url, {
            method, ca, timeout: timeoutMs, agent: false,
            headers: { accept: 'application/json', ...(bytes === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        }, (response) => {
            const chunks = [];
            response.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('aborted', () => reject(new Error('aborted'))).on('end', () => {
                const text = Buffer.concat(chunks).toString();
                resolve({ status: response.statusCode, headers: response.headers, text, json: parse(text) });
            });
        });
        request.on('timeout', () => request.destroy(new Error('timed out'))).on('error', reject);
        request.end(bytes);
    });
}

function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

// Runs into the next whole second of the shop's clock, for tests of its resolution.
export const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1005 - (Date.now() % 1000)));
