// schema_sql.mjs SCHEMA OUT : turn a schema.prisma into the SQL that creates its tables, with Prisma's own
// schema engine in WebAssembly. Nothing is asked of the database but which dialect it speaks.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const [schemaFile, outFile] = process.argv.slice(2);
const modules = path.resolve('node_modules') + '/';
const engineFolder = modules + '@prisma/schema-engine-wasm/';
const require = createRequire(modules + 'x.js');
// This engine speaks the interface of release 6, so it gets the adapter of release 6 under another name.
const adapterPath = require.resolve('adapter-pg-6');
const { PrismaPg } = require('adapter-pg-6');
const { bindSqlAdapterFactory } = createRequire(adapterPath)('@prisma/driver-adapter-utils');

const bindings = await import(engineFolder + 'schema_engine_bg.js');
const { instance } = await WebAssembly.instantiate(
  fs.readFileSync(engineFolder + 'schema_engine_bg.wasm'), { './schema_engine_bg.js': bindings });
bindings.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

const content = fs.readFileSync(schemaFile, 'utf8');
const adapter = bindSqlAdapterFactory(new PrismaPg({ connectionString: process.env.DATABASE_URL }));
const engine = await bindings.SchemaEngine.new({ datamodels: [['schema.prisma', content]] }, () => {}, adapter);
const difference = await engine.diff({
  from: { tag: 'empty' },
  to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content }], configDir: '.' },
  script: true, shadowDatabaseUrl: null, exitCode: null, filters: { externalTables: [], externalEnums: [] },
});
fs.writeFileSync(outFile, difference.stdout);
process.exit(0);
