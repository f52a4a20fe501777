// The conflict story as a service in another language lives it: nothing of
// hookd but its protos, an ordinary gRPC library, and a real daemon.
//
// HOOKD_ADDRESS   where the daemon serves, HOST:PORT
// GOOGLEAPIS      a directory with google/rpc/*.proto

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const address = process.env.HOOKD_ADDRESS;
const googleapis = process.env.GOOGLEAPIS;
const DEADLINE_MS = 30_000;

const packageRoot = (name) => path.dirname(require.resolve(`${name}/package.json`));
const protos = protoLoader.loadSync(
  [
    'hookd/v1/run_service.proto',
    'hookd/v1/hook_service.proto',
    'hookd/v1/errors.proto',
    'google/rpc/status.proto',
    'google/rpc/error_details.proto',
    'health/v1/health.proto',
    'grpc/reflection/v1alpha/reflection.proto',
  ],
  {
    includeDirs: [
      path.join(here, '../../proto'),
      googleapis,
      path.join(packageRoot('grpc-health-check'), 'proto'),
      path.join(packageRoot('@grpc/reflection'), 'build/proto'),
    ],
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  },
);
const { hookd, grpc: standard } = grpc.loadPackageDefinition(protos);

const clients = [];
function client(Service) {
  const made = new Service(address, grpc.credentials.createInsecure());
  clients.push(made);
  return made;
}

let runs, hooks;
before(() => {
  assert.ok(address, 'HOOKD_ADDRESS is not set');
  assert.ok(googleapis, 'GOOGLEAPIS is not set');
  runs = client(hookd.v1.RunService);
  hooks = client(hookd.v1.HookService);
});
after(() => clients.forEach((each) => each.close()));

const deadline = () => ({ deadline: Date.now() + DEADLINE_MS });

/** Makes a unary call. */
function call(service, method, request) {
  return new Promise((resolve, reject) => {
    service[method](request, deadline(), (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

/** Makes a unary call that must be refused; gives the error. */
async function refused(service, method, request) {
  const answer = await call(service, method, request).catch((error) => error);
  assert.ok(answer instanceof Error, `${method} was answered: ${JSON.stringify(answer)}`);
  return answer;
}

/** Reads the details of an error, by the names of their types. */
function detailsOf(error) {
  const [raw] = error.metadata.get('grpc-status-details-bin');
  assert.ok(raw, 'the error has no grpc-status-details-bin');
  const status = protos['google.rpc.Status'].deserialize(raw);
  const byType = {};
  for (const detail of status.details) {
    const name = detail.type_url.split('/').pop();
    byType[name] = protos[name].deserialize(detail.value);
  }
  return { status, byType };
}

const json = (value) => ({
  content_type: 'application/json',
  data: Buffer.from(JSON.stringify(value)),
});
const parsed = (payload) => JSON.parse(payload.data.toString());

async function startRun(workflow) {
  const run_id = `node-${randomUUID()}`;
  const { run, outcome } = await call(runs, 'StartRun', { run_id, workflow, external: true });
  assert.equal(outcome, 'START_OUTCOME_STARTED');
  assert.equal(run.run_id, run_id);
  assert.equal(run.status, 'RUN_STATUS_RUNNING');
  return run_id;
}

const claim = (run_id, token) => ({ run_id, hook: { hook_id: 'payment', token } });

test('the loser learns who owns the token, and hands its payload over', async () => {
  const token = `payment-${randomUUID()} ✓ / 42`;
  const owner = await startRun('checkout');
  const loser = await startRun('checkout-retry');

  const { hook, already_exists } = await call(hooks, 'CreateHook', claim(owner, token));
  assert.equal(already_exists, false);
  assert.equal(hook.token, token);
  assert.equal(hook.status, 'HOOK_STATUS_ACTIVE');
  assert.ok(hook.revision > 0);

  const error = await refused(hooks, 'CreateHook', claim(loser, token));
  assert.equal(error.code, grpc.status.ALREADY_EXISTS);
  assert.ok(
    error.details.startsWith(
      `Hook token "${token}" is already in use by another workflow (run ${owner})`,
    ),
    error.details,
  );

  const { status, byType } = detailsOf(error);
  assert.equal(status.code, grpc.status.ALREADY_EXISTS);
  assert.equal(status.message, error.details);
  const conflict = byType['hookd.v1.HookConflict'];
  assert.deepEqual(
    { ...conflict, claimed_at: undefined },
    {
      project: 'default',
      token,
      run_id: owner,
      hook_id: 'payment',
      run_status: 'RUN_STATUS_RUNNING',
      workflow: 'checkout',
      claimed_at: undefined,
      revision: hook.revision,
    },
  );
  assert.deepEqual(conflict.claimed_at, hook.created_at);
  const info = byType['google.rpc.ErrorInfo'];
  assert.equal(info.domain, 'hookd');
  assert.equal(info.reason, 'HOOK_CONFLICT');
  assert.equal(info.metadata.run_id, owner);
  assert.equal(info.metadata.token, token);

  // The loser does its work through the owner.
  const stream = hooks.ReceivePayloads({ ref: { run_id: owner, hook_id: 'payment' } }, deadline());
  const received = stream[Symbol.asyncIterator]();
  const delivery = { token, payload_id: 'from-the-loser', payload: json({ amount: 12 }) };
  const delivered = await call(hooks, 'ResumeHook', delivery);
  assert.equal(delivered.run_id, conflict.run_id);
  assert.equal(delivered.duplicate, false);
  assert.equal((await call(hooks, 'ResumeHook', delivery)).duplicate, true);
  await call(hooks, 'ResumeHook', { token, payload_id: 'second', payload: json({ amount: 30 }) });

  const first = (await received.next()).value;
  assert.equal(first.item, 'payload');
  assert.equal(first.payload.payload_seq, 1);
  assert.equal(first.payload.payload_id, 'from-the-loser');
  assert.deepEqual(parsed(first.payload.payload), { amount: 12 });
  const second = (await received.next()).value;
  assert.equal(second.payload.payload_seq, 2);
  assert.deepEqual(parsed(second.payload.payload), { amount: 30 });

  // Both see the one result, and then the token is free.
  const awaited = call(runs, 'AwaitRun', { run_id: conflict.run_id, wait: { seconds: 20 } });
  await call(runs, 'CompleteRun', { run_id: owner, output: json({ paid: 42 }) });
  const { run } = await awaited;
  assert.equal(run.status, 'RUN_STATUS_COMPLETED');
  assert.deepEqual(parsed(run.output), { paid: 42 });

  const last = (await received.next()).value;
  assert.equal(last.item, 'closed');
  assert.equal(last.closed.run_status, 'RUN_STATUS_COMPLETED');
  assert.equal((await received.next()).done, true);

  const again = { run_id: loser, hook: { hook_id: 'second-attempt', token } };
  const freed = await call(hooks, 'CreateHook', again);
  assert.equal(freed.hook.run_id, loser);
  assert.ok(freed.hook.revision > hook.revision);
});

test('a resume that finds no hook says so by its type', async () => {
  const error = await refused(hooks, 'ResumeHook', { token: 'nobody-has-this', payload: json(1) });
  assert.equal(error.code, grpc.status.NOT_FOUND);
  const info = detailsOf(error).byType['google.rpc.ErrorInfo'];
  assert.equal(info.reason, 'HOOK_NOT_FOUND');
  assert.equal(info.metadata.token, 'nobody-has-this');
});

test('bad input names its field', async () => {
  const error = await refused(runs, 'StartRun', { run_id: 'no spaces', workflow: 'x' });
  assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
  const { byType } = detailsOf(error);
  assert.equal(byType['google.rpc.ErrorInfo'].reason, 'INVALID_ARGUMENT');
  const [violation] = byType['google.rpc.BadRequest'].field_violations;
  assert.equal(violation.field, 'run_id');
});

test('the daemon reports its health', async () => {
  const health = client(standard.health.v1.Health);
  for (const service of ['', 'hookd.v1.RunService', 'hookd.v1.HookService']) {
    assert.equal((await call(health, 'Check', { service })).status, 'SERVING', service);
  }
  const error = await refused(health, 'Check', { service: 'hookd.v1.NoService' });
  assert.equal(error.code, grpc.status.NOT_FOUND);
});

test('the daemon describes its own API', async () => {
  const stream = client(standard.reflection.v1alpha.ServerReflection).ServerReflectionInfo(deadline());
  const answers = stream[Symbol.asyncIterator]();

  stream.write({ list_services: '' });
  const listed = (await answers.next()).value.list_services_response.service;
  const names = listed.map((service) => service.name);
  for (const name of ['HookService', 'RunService', 'StreamService', 'AdminService']) {
    assert.ok(names.includes(`hookd.v1.${name}`), `${name} is missing in ${names}`);
  }

  stream.write({ file_containing_symbol: 'hookd.v1.HookConflict' });
  const [file] = (await answers.next()).value.file_descriptor_response.file_descriptor_proto;
  assert.ok(Buffer.from(file).includes('HookConflict'));
  stream.end();
});
