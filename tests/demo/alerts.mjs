#!/usr/bin/env node
// Where the demo's alerts arrive: appends each POST to a file, a line each. Ends with its stdin unless --stay.
import http from 'node:http';
import { appendFileSync } from 'node:fs';

const [file, stay] = process.argv.slice(2);

const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
        if (request.method === 'POST') {
            appendFileSync(file, `${Buffer.concat(chunks).toString().replaceAll('\n', ' ')}\n`);
        }
        response.writeHead(204).end();
    });
});

server.listen(0, '127.0.0.1', () => process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/alerts` })}\n`));
process.on('SIGTERM', () => process.exit(0));
if (stay !== '--stay') {
    process.stdin.on('end', () => process.exit(0)).resume();
}
