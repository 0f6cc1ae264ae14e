// Who is asking. Over TLS: Basic, or the key pair in the query. Over plain HTTP: OAuth 1.0a with one leg, checked in full.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ShopError } from './errors.mjs';
import { encodeRfc3986 } from './php.mjs';

const WINDOW_SECONDS = 15 * 60;
const OAUTH_PARAMS = ['oauth_consumer_key', 'oauth_timestamp', 'oauth_nonce', 'oauth_signature', 'oauth_signature_method'];

const refused = (message) => new ShopError(401, 'woocommerce_rest_authentication_error', message);

export class Gate {
    // keys: [{key, secret, permissions: 'read' | 'write' | 'read_write'}]
    constructor({ keys, clock, isTls, origin }) {
        this.keys = new Map(keys.map((entry) => [entry.key, { ...entry, nonces: new Map() }]));
        this.clock = clock;
        this.isTls = isTls;
        this.origin = origin;
    }

    // {kind: 'basic' | 'query' | 'oauth' | 'none', entry}; throws when credentials were sent and are wrong.
    identify({ method, path, query, authorization = '' }) {
        if (this.isTls) {
            const found = this.byPair('query', query.consumer_key, query.consumer_secret) ?? this.byBasic(authorization);
            if (found) {
                return found;
            }
        }
        return this.byOAuth(method, path, { ...query, ...readHeader(authorization) });
    }

    byBasic(authorization) {
        const match = /^Basic\s+(\S+)$/i.exec(authorization);
        if (!match) {
            return null;
        }
        const text = Buffer.from(match[1], 'base64').toString();
        const colon = text.indexOf(':');
        return colon < 0 ? null : this.byPair('basic', text.slice(0, colon), text.slice(colon + 1));
    }

    // An unknown key counts as no credentials at all; a known one with a wrong secret is an error.
    byPair(kind, key, secret) {
        const entry = key && secret ? this.keys.get(key) : null;
        if (!entry) {
            return null;
        }
        if (entry.secret !== secret) {
            throw refused('Consumer secret is invalid.');
        }
        return { kind, entry };
    }

    byOAuth(method, path, params) {
        const missing = OAUTH_PARAMS.filter((name) => !params[name]);
        if (missing.length === OAUTH_PARAMS.length) {
            return { kind: 'none', entry: null };
        }
        if (missing.length > 0) {
            const noun = missing.length > 1 ? 'parameters' : 'parameter';
            throw new ShopError(401, 'woocommerce_rest_authentication_missing_parameter', `Missing OAuth ${noun} ${missing.join(', ')}`);
        }
        const entry = this.keys.get(params.oauth_consumer_key);
        if (!entry) {
            throw refused('Consumer key is invalid.');
        }
        this.checkSignature(method, path, params, entry);
        this.checkFreshness(params, entry);
        return { kind: 'oauth', entry };
    }

    checkSignature(method, path, params, entry) {
        const { oauth_signature: signature, ...signed } = params;
        const algorithm = { 'HMAC-SHA1': 'sha1', 'HMAC-SHA256': 'sha256' }[params.oauth_signature_method];
        if (!algorithm) {
            throw refused('Invalid signature - signature method is invalid.');
        }
        const base = [method, encodeRfc3986(this.origin + path), encodeRfc3986(joinParams(signed))].join('&');
        const expected = createHmac(algorithm, `${entry.secret}&`).update(base).digest('base64');
        const given = signature.replaceAll(' ', '+');
        if (given.length !== expected.length || !timingSafeEqual(Buffer.from(given), Buffer.from(expected))) {
            throw refused('Invalid signature - provided signature does not match.');
        }
    }

    checkFreshness({ oauth_timestamp: timestamp, oauth_nonce: nonce }, entry) {
        const now = this.clock.nowSeconds();
        if (!(Math.abs(now - Number(timestamp)) <= WINDOW_SECONDS)) {
            throw refused('Invalid timestamp.');
        }
        if (entry.nonces.has(nonce)) {
            throw refused('Invalid nonce - nonce has already been used.');
        }
        entry.nonces.set(nonce, now);
        for (const [old, at] of entry.nonces) {
            if (at >= now - 2 * WINDOW_SECONDS) {
                break;
            }
            entry.nonces.delete(old);
        }
    }
}

// A read-only key that writes, or a write-only one that reads: 401, not 403.
export function checkPermissions(entry, method) {
    if (!entry || entry.permissions === 'read_write' || method === 'OPTIONS') {
        return;
    }
    const wanted = ['GET', 'HEAD'].includes(method) ? 'read' : 'write';
    if (entry.permissions !== wanted) {
        throw refused(`The API key provided does not have ${wanted} permissions.`);
    }
}

const NAMELESS = {
    list: ['cannot_view', 'Sorry, you cannot list resources.'],
    view: ['cannot_view', 'Sorry, you cannot view this resource.'],
    create: ['cannot_create', 'Sorry, you are not allowed to create resources.'],
    edit: ['cannot_edit', 'Sorry, you are not allowed to edit this resource.'],
    delete: ['cannot_delete', 'Sorry, you are not allowed to delete this resource.'],
    batch: ['cannot_batch', 'Sorry, you are not allowed to batch manipulate this resource.'],
};

export function demandUser(identity, act) {
    if (!identity.entry) {
        const [code, message] = NAMELESS[act];
        throw new ShopError(401, `woocommerce_rest_${code}`, message);
    }
}

function readHeader(authorization) {
    const params = {};
    if (/^OAuth\s/i.test(authorization)) {
        for (const [, name, value] of authorization.matchAll(/(oauth_[a-z_-]*)="?([^",]*)"?/g)) {
            params[name] = decodeURIComponent(value);
        }
    }
    return params;
}

// Names sorted bytewise, lists flattened as name[index], each part encoded.
function joinParams(params) {
    const pairs = [];
    for (const name of Object.keys(params).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
        const value = params[name];
        if (typeof value === 'object') {
            for (const [inner, text] of Object.entries(value)) {
                pairs.push(`${encodeRfc3986(`${name}[${inner}]`)}=${encodeRfc3986(text)}`);
            }
        } else {
            pairs.push(`${encodeRfc3986(name)}=${encodeRfc3986(value)}`);
        }
    }
    return pairs.join('&');
}
