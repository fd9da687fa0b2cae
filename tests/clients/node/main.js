// node-vault against a fresh server: each of its core commands, and what comes back.
//
// Reads VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN and UNSEAL_KEYS (comma-separated). The last line is the count.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const nodeVault = require('node-vault');

const shares = process.env.UNSEAL_KEYS.split(',');
let passed = 0;
let failed = 0;

function connect(token = process.env.VAULT_TOKEN) {
    return nodeVault({
        endpoint: process.env.VAULT_ADDR,
        token,
        requestOptions: { ca: fs.readFileSync(process.env.VAULT_CACERT) },
    });
}

const vault = connect();

async function check(name, work) {
    try {
        await work();
        passed += 1;
    } catch (error) {
        failed += 1;
        console.log(`FAILED ${name}: ${error.message}`);
    }
}

/** The call is refused with this status code. */
async function refused(code, call) {
    const error = await call.then(() => null, (reason) => reason);
    assert.ok(error, 'it was not refused');
    assert.equal(error.response && error.response.statusCode, code, error.message);
}

async function state() {
    await check('status', async () => {
        const status = await vault.status();
        assert.equal(status.sealed, false);
        assert.deepEqual([status.t, status.n], [3, 5]);
    });
    await check('initialized', async () => assert.equal((await vault.initialized()).initialized, true));
    await check('init again', () => refused(400, vault.init({ secret_shares: 1, secret_threshold: 1 })));
    await check('health', async () => {
        const health = await vault.health();
        assert.equal(health.initialized, true);
        assert.equal(health.standby, false);
    });
}

async function mounts() {
    await check('mount, list, unmount', async () => {
        await vault.mount({ mount_point: 'one', type: 'kv', description: 'first' });
        const all = await vault.mounts();
        assert.equal(all['one/'].type, 'kv');
        assert.equal(all.data['one/'].description, 'first');
        await refused(400, vault.mount({ mount_point: 'one', type: 'kv' }));
        await vault.write('one/kept', { a: 'b' });
        await vault.remount({ from: 'one', to: 'uno' });
        assert.equal((await vault.read('uno/kept')).data.a, 'b');
        await vault.unmount({ mount_point: 'uno' });
        assert.equal((await vault.mounts())['uno/'], undefined);
    });
    await check('auth methods', async () => {
        await vault.enableAuth({ mount_point: 'robots', type: 'approle', description: 'robots' });
        assert.equal((await vault.auths())['robots/'].type, 'approle');
        await vault.disableAuth({ mount_point: 'robots' });
    });
    await check('audit devices', async () => {
        await vault.enableAudit({ name: 'second', type: 'file', options: { path: 'discard' } });
        assert.equal((await vault.audits())['second/'].type, 'file');
        await vault.disableAudit({ name: 'second' });
    });
}

async function policies() {
    const rules = 'path "secret/*" { capabilities = ["read"] }';
    await check('add, get, list, remove', async () => {
        await vault.addPolicy({ name: 'reader', rules });
        assert.equal((await vault.getPolicy({ name: 'reader' })).rules, rules);
        assert.ok((await vault.policies()).policies.includes('reader'));
        await vault.removePolicy({ name: 'reader' });
        await refused(404, vault.getPolicy({ name: 'reader' }));
    });
    await check('a policy that does not parse', () => refused(400, vault.addPolicy({ name: 'b', rules: 'path' })));
}

async function secrets() {
    await check('key/value version 1', async () => {
        await vault.mount({ mount_point: 'kv1', type: 'kv', options: { version: '1' } });
        await vault.write('kv1/app/db', { user: 'a', pass: 'b' });
        assert.deepEqual((await vault.read('kv1/app/db')).data, { user: 'a', pass: 'b' });
        assert.deepEqual((await vault.list('kv1/app')).data.keys, ['db']);
        await vault.delete('kv1/app/db');
        await refused(404, vault.read('kv1/app/db'));
    });
    await check('key/value version 2', async () => {
        await vault.mount({ mount_point: 'kv2', type: 'kv', options: { version: '2' } });
        await vault.write('kv2/data/app', { data: { n: 1 }, options: { cas: 0 } });
        await refused(400, vault.write('kv2/data/app', { data: { n: 2 }, options: { cas: 0 } }));
        await vault.update('kv2/data/app', { data: { m: 2 } });
        const read = await vault.read('kv2/data/app');
        assert.deepEqual(read.data.data, { n: 1, m: 2 });
        assert.equal(read.data.metadata.version, 2);
    });
    await check('wrapping', async () => {
        const wrapped = await vault.write('sys/wrapping/wrap', { a: 'b' }, { headers: { 'X-Vault-Wrap-TTL': '60s' } });
        const inner = await vault.unwrap({ token: wrapped.wrap_info.token });
        assert.equal(inner.data.a, 'b');
        await refused(400, vault.unwrap({ token: wrapped.wrap_info.token }));
    });
}

// A command that gives a token also makes its client use it: each gets a client of its own.
async function tokens() {
    await check('create, look up, renew, revoke', async () => {
        const made = await connect().tokenCreate({ policies: ['default'], ttl: '1h', meta: { team: 'core' } });
        const token = made.auth.client_token;
        const found = await vault.tokenLookup({ token });
        assert.equal(found.data.meta.team, 'core');
        assert.equal((await connect().tokenRenew({ token, increment: 600 })).auth.lease_duration, 600);
        const own = connect(token);
        assert.equal((await own.tokenLookupSelf()).data.accessor, made.auth.accessor);
        await own.tokenRenewSelf({ increment: 300 });
        await own.tokenRevokeSelf();
        await refused(403, vault.tokenLookup({ token }));
    });
    await check('accessors', async () => {
        const made = await connect().tokenCreateOrphan({ policies: ['default'] });
        const { accessor } = made.auth;
        assert.ok((await vault.tokenAccessors()).data.keys.includes(accessor));
        assert.equal((await vault.tokenLookupAccessor({ accessor })).data.id, '');
        await vault.tokenRevokeAccessor({ accessor });
        await refused(403, vault.tokenLookup({ token: made.auth.client_token }));
    });
    await check('orphans', async () => {
        const parent = await connect().tokenCreate({ policies: ['root'], ttl: '1h' });
        const child = await connect(parent.auth.client_token).tokenCreate({ policies: ['default'] });
        await vault.tokenRevokeOrphan({ token: parent.auth.client_token });
        await vault.tokenLookup({ token: child.auth.client_token });
        await vault.tokenRevoke({ token: child.auth.client_token });
    });
    await check('roles', async () => {
        await vault.addTokenRole({ role_name: 'robot', allowed_policies: 'default', orphan: true });
        assert.equal((await vault.getTokenRole({ role_name: 'robot' })).data.orphan, true);
        const made = await connect().tokenCreateRole({ role_name: 'robot' });
        assert.equal(made.auth.orphan, true);
        await vault.removeTokenRole({ role_name: 'robot' });
        await refused(404, vault.getTokenRole({ role_name: 'robot' }));
    });
}

async function logins() {
    await check('approle', async () => {
        await vault.enableAuth({ mount_point: 'approle', type: 'approle' });
        await vault.addApproleRole({ role_name: 'app', policies: 'default', secret_id_num_uses: 1 });
        assert.deepEqual((await vault.approleRoles()).data.keys, ['app']);
        const id = (await vault.getApproleRoleId({ role_name: 'app' })).data.role_id;
        const secret = (await vault.getApproleRoleSecret({ role_name: 'app' })).data.secret_id;
        const answer = await connect('').approleLogin({ role_id: id, secret_id: secret });
        assert.equal(answer.auth.metadata.role_name, 'app');
        await refused(400, connect('').approleLogin({ role_id: id, secret_id: secret }));
        await vault.deleteApproleRole({ role_name: 'app' });
    });
    await check('userpass', async () => {
        await vault.enableAuth({ mount_point: 'userpass', type: 'userpass' });
        await vault.write('auth/userpass/users/ada', { password: 'correct horse', token_policies: 'default' });
        const answer = await connect('').userpassLogin({ username: 'ada', password: 'correct horse' });
        assert.equal(answer.auth.metadata.username, 'ada');
        await refused(400, connect('').userpassLogin({ username: 'ada', password: 'wrong' }));
    });
}

async function leases() {
    const lease_id = 'database/creds/none/AAAAAAAAAAAAAAAAAAAAAAAA';
    await check('a lease that does not exist', () => refused(400, vault.renew({ lease_id })));
    await check('the aliases from before Vault 0.8 stay closed', () => refused(404, vault.revokePrefix({ path_prefix: 'kv1' })));
}

async function keys() {
    await check('rotate', () => vault.rotate());
    await check('generate root', async () => {
        const started = await vault.generateRootInit({ otp: '' });
        assert.equal(started.started, true);
        const answer = await vault.generateRootUpdate({ key: shares[0], nonce: started.nonce });
        assert.equal(answer.progress, 1);
        await vault.generateRootCancel();
        assert.equal((await vault.read('sys/generate-root/attempt')).started, false);
    });
    await check('seal and unseal', async () => {
        await vault.seal();
        assert.equal((await vault.status()).sealed, true);
        for (const key of shares.slice(0, 3)) await vault.unseal({ key });
        assert.equal((await vault.status()).sealed, false);
    });
}

(async () => {
    for (const part of [state, mounts, policies, secrets, tokens, logins, leases, keys]) await part();
    console.log(`${passed} passed, ${failed} failed, 0 skipped`);
    process.exitCode = failed > 0 ? 1 : 0;
})();
