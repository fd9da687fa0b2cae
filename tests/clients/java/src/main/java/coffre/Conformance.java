package coffre;

import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;

import org.springframework.core.io.FileSystemResource;
import org.springframework.http.client.ClientHttpRequestFactory;
import org.springframework.vault.VaultException;
import org.springframework.vault.authentication.AppRoleAuthentication;
import org.springframework.vault.authentication.AppRoleAuthenticationOptions;
import org.springframework.vault.authentication.AppRoleAuthenticationOptions.RoleId;
import org.springframework.vault.authentication.AppRoleAuthenticationOptions.SecretId;
import org.springframework.vault.authentication.LifecycleAwareSessionManager;
import org.springframework.vault.authentication.UsernamePasswordAuthentication;
import org.springframework.vault.authentication.UsernamePasswordAuthenticationOptions;
import org.springframework.vault.client.ClientHttpRequestFactoryFactory;
import org.springframework.vault.client.VaultClients;
import org.springframework.vault.client.VaultEndpoint;
import org.springframework.vault.core.VaultKeyValueOperationsSupport.KeyValueBackend;
import org.springframework.vault.core.VaultTemplate;
import org.springframework.vault.support.ClientOptions;
import org.springframework.vault.support.Policy;
import org.springframework.vault.support.SslConfiguration;
import org.springframework.vault.support.SslConfiguration.KeyStoreConfiguration;
import org.springframework.vault.support.VaultMount;
import org.springframework.vault.support.VaultToken;
import org.springframework.vault.support.VaultTokenRequest;
import org.springframework.vault.support.Versioned.Version;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.client.RestTemplate;

/**
 * Spring Vault against a fresh server: each of its core calls, and what comes back.
 *
 * <p>Reads VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN and UNSEAL_KEYS (comma-separated). The last line is the count.
 */
public final class Conformance {
    private interface Work {
        void run() throws Exception;
    }

    private static int passed;
    private static int failed;

    private final VaultEndpoint endpoint = VaultEndpoint.from(URI.create(System.getenv("VAULT_ADDR")));
    private final ClientHttpRequestFactory requests;
    private final VaultTemplate vault;

    private Conformance() {
        var anchors = KeyStoreConfiguration.of(new FileSystemResource(System.getenv("VAULT_CACERT"))).withStoreType("PEM");
        requests = ClientHttpRequestFactoryFactory.create(new ClientOptions(), SslConfiguration.forTrustStore(anchors));
        vault = as(System.getenv("VAULT_TOKEN"));
    }

    public static void main(String[] arguments) {
        new Conformance().run();
        System.out.printf("%d passed, %d failed, 0 skipped%n", passed, failed);
        System.exit(failed > 0 ? 1 : 0);
    }

    private VaultTemplate as(String token) {
        return new VaultTemplate(endpoint, requests, () -> VaultToken.of(token));
    }

    private RestTemplate anonymous() {
        return VaultClients.createRestTemplate(endpoint, requests);
    }

    private void run() {
        check("health", this::health);
        check("mounts", this::mounts);
        check("auth methods", this::methods);
        check("policies", this::policies);
        check("key/value version 1", this::keyValueOne);
        check("key/value version 2", this::keyValueTwo);
        check("a patch", this::patch);
        check("wrapping", this::wrapping);
        check("tokens", this::tokens);
        check("token roles", this::roles);
        check("approle", this::approle);
        check("userpass", this::userpass);
        check("a session that renews and revokes its token", this::session);
        check("a path without a mount", () -> refused(() -> vault.write("nowhere/at/all", Map.of())));
        check("seal and unseal", this::sealing);
    }

    private void health() {
        var health = vault.opsForSys().health();
        want(List.of(health.isInitialized(), health.isSealed(), health.isStandby()), List.of(true, false, false));
        want(vault.opsForSys().isInitialized(), true);
    }

    private void mounts() {
        var sys = vault.opsForSys();
        sys.mount("one", VaultMount.builder().type("kv").description("first").options(Map.of("version", "1")).build());
        want(sys.getMounts().get("one/").getDescription(), "first");
        refused(() -> sys.mount("one", VaultMount.create("kv")));
        sys.unmount("one");
        want(sys.getMounts().get("one/"), null);
    }

    private void methods() {
        var sys = vault.opsForSys();
        sys.authMount("robots", VaultMount.create("approle"));
        want(sys.getAuthMounts().get("robots/").getType(), "approle");
        sys.authUnmount("robots");
    }

    private void policies() {
        var sys = vault.opsForSys();
        var rule = Policy.Rule.builder().path("secret/*").capabilities("read", "list").minWrappingTtl(Duration.ofSeconds(60));
        sys.createOrUpdatePolicy("reader", Policy.of(rule.build()));
        want(sys.getPolicy("reader").getRules().size(), 1);
        want(sys.getPolicyNames().contains("reader"), true);
        sys.deletePolicy("reader");
        want(sys.getPolicy("reader"), null);
    }

    private void keyValueOne() {
        vault.opsForSys().mount("kv1", VaultMount.builder().type("kv").options(Map.of("version", "1")).build());
        var kv = vault.opsForKeyValue("kv1", KeyValueBackend.KV_1);
        kv.put("app/db", Map.of("user", "a"));
        want(kv.get("app/db").getData().get("user"), "a");
        want(kv.list("app"), List.of("db"));
        kv.delete("app/db");
        want(kv.get("app/db"), null);
    }

    private void keyValueTwo() {
        vault.opsForSys().mount("kv2", VaultMount.builder().type("kv").options(Map.of("version", "2")).build());
        var kv = vault.opsForVersionedKeyValue("kv2");
        want(kv.put("app", Map.of("n", 1)).getVersion(), Version.from(1));
        want(kv.put("app", Map.of("n", 2)).getVersion(), Version.from(2));
        want(kv.<Map<String, Object>>get("app", Version.from(1)).getRequiredData().get("n"), 1);
        kv.delete("app");
        want(kv.get("app").hasData(), false);
        kv.undelete("app", Version.from(2));
        want(kv.get("app").getRequiredData().get("n"), 2);
        kv.destroy("app", Version.from(1));
        var metadata = kv.opsForKeyValueMetadata().get("app");
        want(metadata.getVersions().size(), 2);
        kv.opsForKeyValueMetadata().delete("app");
        want(kv.get("app"), null);
    }

    private void patch() {
        var kv = vault.opsForKeyValue("kv2", KeyValueBackend.KV_2);
        kv.put("patched", Map.of("a", "1", "b", "2"));
        want(kv.patch("patched", Map.of("b", "3")), true);
        want(kv.get("patched").getData(), Map.of("a", "1", "b", "3"));
    }

    private void wrapping() {
        var wrapping = vault.opsForWrapping();
        var wrapped = wrapping.wrap(Map.of("a", "b"), Duration.ofMinutes(1));
        want(wrapping.lookup(wrapped.getToken()).getPath(), "sys/wrapping/wrap");
        var moved = wrapping.rewrap(wrapped.getToken());
        want(wrapping.read(moved.getToken()).getRequiredData().get("a"), "b");
        want(wrapping.read(moved.getToken()), null);
    }

    private void tokens() {
        var ops = vault.opsForToken();
        var request = VaultTokenRequest.builder().policies(List.of("default")).ttl(Duration.ofHours(1)).renewable().build();
        var made = ops.create(request).getToken();
        want(ops.renew(made).getToken().getToken(), made.getToken());
        want(as(made.getToken()).read("auth/token/lookup-self").getRequiredData().get("orphan"), false);
        ops.revoke(made);
        refused(() -> as(made.getToken()).read("auth/token/lookup-self"));
        ops.revokeOrphan(ops.createOrphan(request).getToken());
    }

    private void roles() {
        vault.write("auth/token/roles/robot", Map.of("allowed_policies", "default", "orphan", true));
        var made = vault.opsForToken().create("robot", VaultTokenRequest.builder().build());
        want(made.getAuth().get("orphan"), true);
    }

    private void approle() {
        vault.opsForSys().authMount("approle", VaultMount.create("approle"));
        vault.write("auth/approle/role/app", Map.of("token_policies", "default", "token_ttl", "20m"));
        var id = (String) vault.read("auth/approle/role/app/role-id").getRequiredData().get("role_id");
        var secret = (String) vault.write("auth/approle/role/app/secret-id").getRequiredData().get("secret_id");
        var options = AppRoleAuthenticationOptions.builder().roleId(RoleId.provided(id)).secretId(SecretId.provided(secret));
        var token = new AppRoleAuthentication(options.build(), anonymous()).login();
        want(as(token.getToken()).read("auth/token/lookup-self").getRequiredData().get("display_name"), "approle");
        var wrong = AppRoleAuthenticationOptions.builder().roleId(RoleId.provided(id)).secretId(SecretId.provided("wrong"));
        refused(() -> new AppRoleAuthentication(wrong.build(), anonymous()).login());
    }

    private void userpass() {
        vault.opsForSys().authMount("userpass", VaultMount.create("userpass"));
        vault.write("auth/userpass/users/ada", Map.of("password", "correct horse", "token_policies", "default"));
        var options = UsernamePasswordAuthenticationOptions.builder().username("ada").password("correct horse").build();
        want(new UsernamePasswordAuthentication(options, anonymous()).login().getToken().isEmpty(), false);
    }

    private void session() throws Exception {
        var id = (String) vault.read("auth/approle/role/app/role-id").getRequiredData().get("role_id");
        var secret = (String) vault.write("auth/approle/role/app/secret-id").getRequiredData().get("secret_id");
        var options = AppRoleAuthenticationOptions.builder().roleId(RoleId.provided(id)).secretId(SecretId.provided(secret));
        var scheduler = new ThreadPoolTaskScheduler();
        scheduler.initialize();
        try {
            var login = new AppRoleAuthentication(options.build(), anonymous());
            var manager = new LifecycleAwareSessionManager(login, scheduler, anonymous());
            var token = manager.getSessionToken().getToken();
            want(manager.renewToken(), true);
            manager.destroy();
            refused(() -> as(token).read("auth/token/lookup-self"));
        } finally {
            scheduler.shutdown();
        }
    }

    private void sealing() {
        var sys = vault.opsForSys();
        sys.seal();
        want(sys.getUnsealStatus().isSealed(), true);
        for (var share : List.of(System.getenv("UNSEAL_KEYS").split(",")).subList(0, 3)) {
            sys.unseal(share);
        }
        want(sys.getUnsealStatus().isSealed(), false);
    }

    private static void check(String name, Work work) {
        try {
            work.run();
            passed++;
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.printf("FAILED %s: %s%n", name, error);
        }
    }

    private static void want(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError("got " + got + ", want " + wanted);
        }
    }

    private static void refused(Work work) {
        try {
            work.run();
        } catch (VaultException expected) {
            return;
        } catch (Exception other) {
            throw new AssertionError("refused otherwise than expected: " + other);
        }
        throw new AssertionError("it was not refused");
    }
}
