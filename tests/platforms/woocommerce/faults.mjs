// Trouble on demand: what may go wrong between a client and a shop, before or after the request had its effect.
const HTML = { 'content-type': 'text/html; charset=UTF-8' };
const JSON_TYPE = { 'content-type': 'application/json; charset=UTF-8' };

const page = (title, text) => `<!DOCTYPE html>\n<html>\n<head><title>${title}</title></head>\n<body><h1>${title}</h1><p>${text}</p></body>\n</html>\n`;

// kind -> when it strikes and how. `answer` replaces the shop's answer, `cut` breaks the connection instead, `spoil` damages the answer.
const KINDS = {
    429: { answer: () => tooMany(1) },
    '429-no-retry-after': { answer: () => ({ status: 429, headers: HTML, text: page('429 Too Many Requests', 'nginx') }) },
    500: { answer: internalError },
    '500-after': { after: true, answer: internalError },
    '502-html': { answer: () => ({ status: 502, headers: HTML, text: page('502 Bad Gateway', 'nginx') }) },
    '503-maintenance-html': { answer: maintenance },
    'html-200': { answer: () => ({ status: 200, headers: HTML, text: page('Welcome', 'Just another shop.') }) },
    'timeout-before': { cut: 'hang' },
    'timeout-after': { after: true, cut: 'hang' },
    'reset-before': { cut: 'reset' },
    'reset-after': { after: true, cut: 'reset' },
    truncated: { after: true, cut: 'truncate' },
    'junk-before-json': {
        after: true,
        spoil: (answer) => ({ ...answer, text: `<br />\n<b>Notice</b>:  Undefined index: price in <b>/srv/wp-content/plugins/feed.php</b> on line <b>12</b><br />\n${answer.text}` }),
    },
    slow: { delays: true },
};

export const KIND_NAMES = Object.keys(KINDS);

export function tooMany(seconds) {
    return {
        status: 429, headers: { ...JSON_TYPE, 'retry-after': String(seconds) },
        text: '{"code":"too_many_requests","message":"Too many requests.","data":{"status":429}}',
    };
}

export function maintenance() {
    return { status: 503, headers: { ...HTML, 'retry-after': '600' }, text: page('Maintenance', 'Briefly unavailable for scheduled maintenance. Check back in a minute.') };
}

function internalError(wantsJson) {
    return wantsJson
        ? { status: 500, headers: JSON_TYPE, text: '{"code":"internal_server_error","message":"<p>There has been a critical error on this website.<\\/p>","data":{"status":500}}' }
        : { status: 500, headers: HTML, text: page('WordPress &rsaquo; Error', 'There has been a critical error on this website.') };
}

export class Faults {
    constructor() {
        this.rules = [];
        this.outage = null;
        this.lastId = 0;
    }

    // rule: {kind, match: {method, path, sku, id}, times, for_ms, skip, delay_ms, retry_after}. Throws if the kind is unknown.
    add(rule) {
        if (!KINDS[rule.kind]) {
            throw new Error(`unknown kind '${rule.kind}'; known: ${KIND_NAMES.join(', ')}`);
        }
        const added = {
            ...rule, id: ++this.lastId, match: rule.match ?? {}, hits: 0, skip: rule.skip ?? 0,
            times: rule.times ?? (rule.for_ms ? Infinity : 1), until: rule.for_ms ? Date.now() + rule.for_ms : Infinity,
        };
        this.rules.push(added);
        return added;
    }

    // The first rule that fits, or null; a rule that is used up is forgotten. target: {method, path, skus, ids}.
    take(target) {
        if (this.rules.length === 0) {
            return null;
        }
        this.rules = this.rules.filter((rule) => rule.hits < rule.times && Date.now() < rule.until);
        const rule = this.rules.find((candidate) => fits(candidate.match, target) && candidate.skip-- <= 0);
        if (!rule) {
            return null;
        }
        rule.hits++;
        return { ...KINDS[rule.kind], kind: rule.kind, delayMs: rule.delay_ms ?? 0, retryAfter: rule.retry_after };
    }
}

function fits(match, target) {
    return (match.method === undefined || match.method.toUpperCase() === target.method)
        && (match.path === undefined || (match.path.startsWith('^') ? new RegExp(match.path).test(target.path) : target.path.startsWith(match.path)))
        && (match.sku === undefined || target.skus().has(match.sku))
        && (match.id === undefined || target.ids().has(Number(match.id)));
}

// At most perSecond requests a second, with a burst of as many.
export class RateLimit {
    constructor(perSecond) {
        this.set(perSecond);
    }

    set(perSecond) {
        this.perSecond = perSecond || 0;
        this.tokens = this.perSecond;
        this.at = performance.now();
    }

    // 0 = go ahead, else the seconds to wait.
    take() {
        if (!this.perSecond) {
            return 0;
        }
        const now = performance.now();
        this.tokens = Math.min(this.perSecond, this.tokens + ((now - this.at) / 1000) * this.perSecond);
        this.at = now;
        if (this.tokens >= 1) {
            this.tokens--;
            return 0;
        }
        return Math.max(1, Math.ceil((1 - this.tokens) / this.perSecond));
    }
}
