// A small Redis client for tests: one connection, RESP2, pipelining by not awaiting. No npm.
import net from 'node:net';

export class Redis {
    static async open(where, { password } = {}) {
        const redis = new Redis();
        await redis.#connect(where);
        if (password) {
            await redis.call('AUTH', password);
        }
        return redis;
    }

    #socket;
    #waiting = [];
    #watcher = null;
    #buffer = Buffer.alloc(0);

    #connect(where) {
        return new Promise((resolve, reject) => {
            this.#socket = typeof where === 'number' ? net.connect(where, '127.0.0.1') : net.connect(where);
            this.#socket.once('connect', resolve);
            this.#socket.once('error', reject);
            this.#socket.on('error', () => {});
            this.#socket.on('data', (chunk) => this.#onData(chunk));
            this.#socket.on('close', () => {
                for (const { reject: fail } of this.#waiting.splice(0)) {
                    fail(new Error('redis closed the connection'));
                }
            });
        });
    }

    call(...words) {
        const parts = [`*${words.length}\r\n`];
        for (const word of words) {
            const text = String(word);
            parts.push(`$${Buffer.byteLength(text)}\r\n${text}\r\n`);
        }
        return new Promise((resolve, reject) => {
            if (this.#socket.destroyed) {
                reject(new Error('redis connection is closed'));
                return;
            }
            this.#waiting.push({ resolve, reject });
            this.#socket.write(parts.join(''));
        });
    }

    async hash(key) {
        const flat = await this.call('HGETALL', key);
        return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]));
    }

    close() {
        this.#socket.destroy();
    }

    // What comes without having been asked for (MONITOR, once it has answered).
    watch(watcher) {
        this.#watcher = watcher;
    }

    #onData(chunk) {
        this.#buffer = this.#buffer.length ? Buffer.concat([this.#buffer, chunk]) : chunk;
        let at = 0;
        for (;;) {
            const parsed = parse(this.#buffer, at);
            if (!parsed) {
                break;
            }
            at = parsed.next;
            if (this.#waiting.length === 0) {
                this.#watcher?.(parsed.value);
                continue;
            }
            const { resolve, reject } = this.#waiting.shift();
            parsed.value instanceof Error ? reject(parsed.value) : resolve(parsed.value);
        }
        this.#buffer = this.#buffer.subarray(at);
    }
}

// {value, next} or null when the reply is not whole yet.
function parse(buffer, at) {
    const end = buffer.indexOf('\r\n', at);
    if (end < 0) {
        return null;
    }
    const line = buffer.toString('utf8', at + 1, end);
    const next = end + 2;
    switch (String.fromCharCode(buffer[at])) {
    case '+':
        return { value: line, next };
    case '-':
        return { value: new Error(line), next };
    case ':':
        return { value: Number(line), next };
    case '$': {
        const length = Number(line);
        if (length < 0) {
            return { value: null, next };
        }
        return buffer.length < next + length + 2 ? null : { value: buffer.toString('utf8', next, next + length), next: next + length + 2 };
    }
    default: {
        const value = [];
        let from = next;
        for (let i = 0; i < Number(line); i++) {
            const item = parse(buffer, from);
            if (!item) {
                return null;
            }
            value.push(item.value);
            from = item.next;
        }
        return { value: Number(line) < 0 ? null : value, next: from };
    }
    }
}
