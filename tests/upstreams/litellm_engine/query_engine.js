// query_engine.js --version | -p PORT [--enable-raw-queries ...]
//
// Stands in for Prisma's native `query-engine` binary (HTTP and GraphQL, Prisma 5.17.0), which would have to be
// downloaded: behind it runs the WebAssembly build of the same engine, from the npm package @prisma/client.
'use strict';
const HASH = '393aa359c9ad4a4bb28630fb5613f9c281cde053';
if (process.argv.includes('--version') || process.argv.includes('-V')) {
  console.log('query-engine ' + HASH);
  process.exit(0);
}
const http = require('http'),
  fs = require('fs'),
  path = require('path');
const R = require('module').createRequire(path.join(__dirname, 'node_modules', 'x.js'));
const { parse } = R('graphql/language');
const pg = R('pg');
const { PrismaPg } = R('@prisma/adapter-pg');
const { bindAdapter } = R('@prisma/driver-adapter-utils');
const rt = path.join(__dirname, 'node_modules/@prisma/client/runtime');
const port = +process.argv[process.argv.indexOf('-p') + 1];
const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8');

let url = process.env.DATABASE_URL;
if (process.env.OVERWRITE_DATASOURCES) {
  const o = JSON.parse(process.env.OVERWRITE_DATASOURCES);
  const u = o.find((x) => x.url);
  if (u) url = u.url;
}
const U = new URL(url);
const max = +(U.searchParams.get('connection_limit') || 10),
  schema = U.searchParams.get('schema') || 'public';
for (const k of [
  'connection_limit',
  'pool_timeout',
  'pgbouncer',
  'schema',
  'statement_cache_size',
  'socket_timeout',
  'connect_timeout',
  'sslidentity',
  'sslaccept',
  'max_idle_connection_lifetime',
  'max_connection_lifetime',
  'single_use_connections',
])
  U.searchParams.delete(k);
const pool = new pg.Pool({ connectionString: U.toString(), max });
pool.on('error', (e) => console.error('pg pool error', e.message));

// From the GraphQL document that the Python client sends to the JSON protocol that the engine takes.
const ACTIONS = [
  'findUnique',
  'findFirst',
  'findMany',
  'createOne',
  'createManyAndReturn',
  'createMany',
  'updateOne',
  'updateMany',
  'deleteOne',
  'deleteMany',
  'upsertOne',
  'aggregate',
  'groupBy',
  'executeRaw',
  'queryRaw',
];
const MODELS = new Set([...datamodel.matchAll(/^model\s+(\S+)\s*\{/gm)].map((m) => m[1]));
function actionOf(name) {
  if (name === 'executeRaw' || name === 'queryRaw') return { action: name };
  for (const a of ACTIONS)
    if (name.startsWith(a)) {
      const m = name.slice(a.length);
      if (MODELS.has(m)) return { action: a, modelName: m };
      if (m.endsWith('OrThrow') && MODELS.has(m.slice(0, -7)))
        return { action: a + 'OrThrow', modelName: m.slice(0, -7) };
    }
  throw new Error('unknown operation ' + name);
}
function val(n) {
  switch (n.kind) {
    case 'IntValue': {
      const x = Number(n.value);
      return Number.isSafeInteger(x) ? x : { $type: 'BigInt', value: n.value };
    }
    case 'FloatValue':
      return Number(n.value);
    case 'StringValue':
    case 'EnumValue':
      return n.value;
    case 'BooleanValue':
      return n.value;
    case 'NullValue':
      return null;
    case 'ListValue':
      return n.values.map(val);
    case 'ObjectValue':
      return Object.fromEntries(n.fields.map((f) => [f.name.value, val(f.value)]));
    default:
      throw new Error('value kind ' + n.kind);
  }
}
// Json columns: the GraphQL protocol carries them as strings with JSON text, the JSON protocol needs them tagged.
const FIELDS = {};
for (const m of datamodel.matchAll(/^model\s+(\S+)\s*\{([\s\S]*?)^\}/gm)) {
  const fs_ = (FIELDS[m[1]] = {});
  for (const l of m[2].split('\n')) {
    const x = l.trim().match(/^(\w+)\s+(\w+)(\[\])?(\?)?/);
    if (x) fs_[x[1]] = x[2];
  }
}
const TAGGED = new Set(['Json', 'DateTime', 'Decimal', 'Bytes', 'BigInt']);
const tagOne = (t, v) =>
  t === 'Json'
    ? typeof v === 'string'
      ? { $type: 'Json', value: v }
      : v
    : typeof v === 'string' && (t === 'Decimal' || t === 'Bytes')
      ? { $type: t, value: v }
      : v;
function tagField(t, v) {
  if (Array.isArray(v)) return v.map((x) => tagField(t, x));
  if (v && typeof v === 'object' && !('$type' in v)) {
    const o = {};
    for (const k in v) o[k] = k === 'path' || k.startsWith('string_') || k === 'mode' ? v[k] : tagField(t, v[k]);
    return o;
  }
  return tagOne(t, v);
}
function tagTree(model, v) {
  if (Array.isArray(v)) return v.map((x) => tagTree(model, x));
  if (!v || typeof v !== 'object' || '$type' in v) return v;
  const o = {},
    F = FIELDS[model] || {};
  for (const k in v) {
    const t = F[k];
    o[k] =
      t && FIELDS[t] ? tagTree(t, v[k]) : t && TAGGED.has(t) ? tagField(t, v[k]) : t ? v[k] : tagTree(model, v[k]);
  }
  return o;
}
const tagArgs = (model, a) => {
  const o = {};
  for (const k in a)
    o[k] = ['where', 'data', 'create', 'update', 'having', 'cursor'].includes(k) ? tagTree(model, a[k]) : a[k];
  return o;
};
const args = (f) => Object.fromEntries((f.arguments || []).map((a) => [a.name.value, val(a.value)]));
const sel = (s, model) =>
  Object.fromEntries(
    (s ? s.selections : []).map((f) => {
      const m = (FIELDS[model] || {})[f.name.value];
      return [
        f.name.value,
        f.selectionSet || (f.arguments || []).length
          ? { arguments: tagArgs(m, args(f)), selection: sel(f.selectionSet, m) }
          : true,
      ];
    }),
  );
function convert(doc) {
  const f = parse(doc, { noLocation: true }).definitions[0].selectionSet.selections[0];
  const a = actionOf(f.name.value);
  return {
    key: f.alias ? f.alias.value : f.name.value,
    q: {
      ...a,
      query: {
        arguments: a.modelName ? tagArgs(a.modelName, args(f)) : args(f),
        selection: sel(f.selectionSet, a.modelName),
      },
    },
  };
}
function untag(v) {
  if (Array.isArray(v)) return v.map(untag);
  if (v && typeof v === 'object') {
    if ('$type' in v) return v.$type === 'Raw' || v.$type === 'FieldRef' ? v : v.value;
    const o = {};
    for (const k in v) o[k] = untag(v[k]);
    return o;
  }
  return v;
}
// prisma-client-py <= 0.13 (LiteLLM is written against 0.11.0) expects raw rows as objects of {prisma__type, prisma__value}
const OLD_RAW = process.env.QE_RAW_FORMAT !== 'new';
const cell = (t, v) =>
  v === null || v === undefined
    ? { prisma__type: 'null', prisma__value: null }
    : t.endsWith('-array')
      ? { prisma__type: 'array', prisma__value: v.map((x) => cell(t.slice(0, -6), x)) }
      : { prisma__type: t, prisma__value: v };
const oldRaw = (d) =>
  d && typeof d === 'object' && Array.isArray(d.columns) && Array.isArray(d.types) && Array.isArray(d.rows)
    ? d.rows.map((r) => Object.fromEntries(d.columns.map((c, i) => [c, cell(d.types[i], r[i])])))
    : d;
const rename = (r, key, raw) =>
  r.data ? { ...r, data: { [key]: ((x) => (raw && OLD_RAW ? oldRaw(x) : x))(untag(Object.values(r.data)[0])) } } : r;

(async () => {
  const bg = require(path.join(rt, 'query_engine_bg.postgresql.js'));
  const { instance } = await WebAssembly.instantiate(
    fs.readFileSync(path.join(rt, 'query_engine_bg.postgresql.wasm')),
    { './query_engine_bg.js': bg },
  );
  bg.__wbg_set_wasm(instance.exports);
  const adapter = bindAdapter(new PrismaPg(pool, { schema }));
  const engine = new bg.QueryEngine(
    { datamodel, logLevel: 'error', logQueries: false },
    (l) => {
      if (process.env.QE_DEBUG) console.error('[qe]', l);
    },
    adapter,
  );
  let connecting = engine.connect('{}');
  const exec = async (body, tx) => JSON.parse(await engine.query(JSON.stringify(body), '{}', tx));
  const deadapt = (r) => {
    // driver-level errors are kept JS-side; report them like the native engine would
    for (const e of r.errors || []) {
      const id = e.user_facing_error && e.user_facing_error.meta && e.user_facing_error.meta.id;
      if (e.user_facing_error && e.user_facing_error.error_code === 'P2036') {
        const c = adapter.errorRegistry.consumeError(id),
          x = (c && c.error) || {},
          m = String(x.message || x.code || e.error);
        const down =
          /ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|ETIMEDOUT|Connection terminated|terminating connection|the database system is|timeout exceeded when trying to connect/i.test(
            m + ' ' + x.code + ' ' + (x.errors || []).map(String),
          );
        e.error = m;
        delete e.user_facing_error;
        if (down) {
          const t = `Can't reach database server at \`${U.hostname}\`:\`${U.port || 5432}\`\n\nPlease make sure your database server is running at \`${U.hostname}\`:\`${U.port || 5432}\`.`;
          e.error = t;
          e.user_facing_error = {
            is_panic: false,
            message: t,
            meta: { database_host: U.hostname, database_port: +U.port || 5432 },
            error_code: 'P1001',
          };
        }
      }
    }
    return r;
  };
  async function query(b, tx) {
    if (b.batch) {
      const cs = b.batch.map((x) => convert(x.query));
      const r = await exec(
        { batch: cs.map((c) => c.q), transaction: b.transaction ? { isolationLevel: null } : undefined },
        tx,
      );
      if (r.batchResult)
        r.batchResult = r.batchResult.map((x, i) => rename(deadapt(x), cs[i].key, cs[i].q.action === 'queryRaw'));
      return deadapt(r);
    }
    const c = convert(b.query);
    return rename(deadapt(await exec(c.q, tx)), c.key, c.q.action === 'queryRaw');
  }
  http
    .createServer((req, res) => {
      const ch = [];
      req.on('data', (d) => ch.push(d));
      req.on('end', async () => {
        const send = (o, code = 200) => {
          const s = typeof o === 'string' ? o : JSON.stringify(o);
          res.writeHead(code, { 'content-type': 'application/json' });
          res.end(s);
        };
        const body = Buffer.concat(ch).toString();
        try {
          await connecting;
          const p = req.url.split('?')[0];
          let m;
          if (p === '/status') return send({ status: 'ok' });
          if (p === '/metrics') return send({ counters: [], gauges: [], histograms: [] });
          if (p === '/sdl') return send('""');
          if (p === '/transaction/start') {
            const i = body ? JSON.parse(body) : {};
            return send(
              await engine.startTransaction(
                JSON.stringify({
                  max_wait: i.max_wait ?? 2000,
                  timeout: i.timeout ?? 5000,
                  isolation_level: i.isolation_level ?? null,
                }),
                '{}',
              ),
            );
          }
          if ((m = p.match(/^\/transaction\/([^/]+)\/(commit|rollback)$/)))
            return send((await engine[m[2] + 'Transaction'](m[1], '{}')) || '{}');
          const tx = req.headers['x-transaction-id'];
          const out = await query(JSON.parse(body), tx);
          if (process.env.QE_DEBUG && out.errors)
            console.error('[qe] ERR', body.slice(0, 1500), JSON.stringify(out).slice(0, 1500));
          return send(out);
        } catch (e) {
          if (process.env.QE_DEBUG) console.error('[qe] EXC', body.slice(0, 2000), e);
          let em = (e && e.message) || String(e);
          try {
            const j = JSON.parse(em);
            if (j.error_code) return send({ errors: [{ error: j.message, user_facing_error: j }] });
          } catch {}
          send({ errors: [{ error: em, user_facing_error: { is_panic: false, message: em, backtrace: null } }] });
        }
      });
    })
    .listen(port, '127.0.0.1')
    .on('error', (e) => {
      console.error(e);
      process.exit(1);
    });
  // ::1 too: prisma-client-py connects to "localhost"
  for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => process.exit(0));
})().catch((e) => {
  console.error('query-engine failed:', e);
  process.exit(1);
});
