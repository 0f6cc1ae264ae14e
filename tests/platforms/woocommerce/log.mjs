// Every request the shop saw, in order, with what it changed.
import { createWriteStream } from 'node:fs';

const MAX_ENTRIES = 500_000;

export class RequestLog {
    constructor(file) {
        this.entries = [];
        this.stream = file ? createWriteStream(file, { flags: 'a' }) : null;
        this.clear();
    }

    clear() {
        this.entries = [];
        this.counts = { requests: 0, effects: 0, by_status: {}, by_method: {}, by_fault: {} };
    }

    add(entry) {
        const { counts } = this;
        counts.requests++;
        counts.effects += entry.effect ? 1 : 0;
        counts.by_status[entry.status] = (counts.by_status[entry.status] ?? 0) + 1;
        counts.by_method[entry.method] = (counts.by_method[entry.method] ?? 0) + 1;
        if (entry.fault) {
            counts.by_fault[entry.fault] = (counts.by_fault[entry.fault] ?? 0) + 1;
        }
        if (this.entries.length < MAX_ENTRIES) {
            this.entries.push(entry);
        }
        this.stream?.write(`${JSON.stringify(entry)}\n`);
    }
}
