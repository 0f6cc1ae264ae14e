// Runs the tests of this folder; 77 (skipped) if the packages are not installed.
import { existsSync, readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const here = fileURLToPath(new URL('.', import.meta.url));

if (!existsSync(join(here, '../node_modules/fastify'))) {
    process.stdout.write('skipped: the packages of tests/platforms are not installed\nhint: npm ci --prefix tests/platforms\n');
    process.exit(77);
}
const wanted = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith('.test.mjs') && (wanted.length === 0 || wanted.some((word) => name.includes(word))));
const { status } = spawnSync(process.execPath, ['--test', ...files.map((name) => join(here, name))], { stdio: 'inherit' });
process.exit(status ?? 1);
