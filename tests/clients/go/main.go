// The Go client of OpenBao against a fresh server: each call of its core interface, and what comes back.
//
// Reads VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN and UNSEAL_KEYS (comma-separated) from the environment. The last line is
// the count.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/openbao/openbao/api/v2"
)

var (
	passed, failed int
	ctx            = context.Background()
	client         *api.Client
	shares         = strings.Split(os.Getenv("UNSEAL_KEYS"), ",")
)

func check(name string, work func() error) {
	if err := work(); err != nil {
		failed++
		fmt.Printf("FAILED %s: %v\n", name, err)
		return
	}
	passed++
}

func want(got, wanted any) error {
	if !reflect.DeepEqual(got, wanted) {
		return fmt.Errorf("got %#v, want %#v", got, wanted)
	}
	return nil
}

// wantStatus fails unless the server refused with this status code.
func wantStatus(err error, code int) error {
	var response *api.ResponseError
	if !errors.As(err, &response) {
		return fmt.Errorf("got %v, want status %d", err, code)
	}
	return want(response.StatusCode, code)
}

func connect() *api.Client {
	config := api.DefaultConfig()
	must(config.Error)
	must(config.ConfigureTLS(&api.TLSConfig{CACert: os.Getenv("VAULT_CACERT")}))
	config.Address = os.Getenv("VAULT_ADDR")
	config.MaxRetries = 0
	made, err := api.NewClient(config)
	must(err)
	made.SetToken(os.Getenv("VAULT_TOKEN"))
	return made
}

func as(token string) *api.Client {
	other := connect()
	other.SetToken(token)
	return other
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED set-up:", err)
		os.Exit(1)
	}
}

func main() {
	client = connect()
	state()
	mounts()
	policies()
	tokens()
	keyValueOne()
	keyValueTwo()
	wrapping()
	logins()
	audit()
	leases()
	keys()
	sealing()
	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

func state() {
	sys := client.Sys()
	check("init status", func() error {
		initialised, err := sys.InitStatus()
		return errors.Join(err, want(initialised, true))
	})
	check("seal status", func() error {
		status, err := sys.SealStatus()
		if err != nil {
			return err
		}
		return errors.Join(want(status.Sealed, false), want(status.Type, "shamir"), want(status.T, 3), want(status.N, 5))
	})
	check("health", func() error {
		health, err := sys.Health()
		if err != nil {
			return err
		}
		return errors.Join(want(health.Initialized, true), want(health.Sealed, false), want(health.Standby, false))
	})
	check("leader", func() error {
		_, err := sys.Leader()
		return err
	})
	check("ha status", func() error {
		status, err := sys.HAStatus()
		if err != nil {
			return err
		}
		return want(len(status.Nodes), 1)
	})
	check("cors", func() error {
		err := sys.ConfigureCORS(&api.CORSRequest{AllowedOrigins: []string{"https://ui.example"}, Enabled: true})
		if err != nil {
			return err
		}
		status, err := sys.CORSStatus()
		if err != nil {
			return err
		}
		return errors.Join(want(status.AllowedOrigins, []string{"https://ui.example"}), sys.DisableCORS())
	})
}

func mounts() {
	sys := client.Sys()
	check("mount", func() error {
		return sys.Mount("one", &api.MountInput{Type: "kv", Description: "first", Options: map[string]string{"version": "1"}})
	})
	check("list mounts", func() error {
		all, err := sys.ListMounts()
		if err != nil {
			return err
		}
		one, found := all["one/"]
		if !found {
			return errors.New("one/ is missing")
		}
		return errors.Join(want(one.Type, "kv"), want(one.Description, "first"), want(one.Accessor != "", true))
	})
	check("mount info", func() error {
		info, err := sys.MountInfo("one")
		if err != nil {
			return err
		}
		return want(info.Type, "kv")
	})
	check("tune", func() error {
		if err := sys.TuneMount("one", api.MountConfigInput{DefaultLeaseTTL: "30m", MaxLeaseTTL: "2h"}); err != nil {
			return err
		}
		config, err := sys.MountConfig("one")
		if err != nil {
			return err
		}
		return errors.Join(want(config.DefaultLeaseTTL, 1800), want(config.MaxLeaseTTL, 7200))
	})
	check("mount twice", func() error {
		return wantStatus(sys.Mount("one", &api.MountInput{Type: "kv"}), http.StatusBadRequest)
	})
	check("remount", func() error {
		if _, err := client.Logical().Write("one/kept", map[string]any{"a": "b"}); err != nil {
			return err
		}
		if err := sys.Remount("one", "uno"); err != nil {
			return err
		}
		read, err := client.Logical().Read("uno/kept")
		if err != nil || read == nil {
			return fmt.Errorf("after the move: %v, %v", read, err)
		}
		return want(read.Data["a"], "b")
	})
	check("unmount", func() error { return errors.Join(sys.Unmount("uno"), sys.Unmount("uno")) })
	check("auth methods", func() error {
		options := &api.EnableAuthOptions{Type: "approle", Description: "robots"}
		if err := sys.EnableAuthWithOptions("robots", options); err != nil {
			return err
		}
		all, err := sys.ListAuth()
		if err != nil {
			return err
		}
		return errors.Join(want(all["robots/"].Type, "approle"), want(all["token/"].Type, "token"), sys.DisableAuth("robots"))
	})
}

func policies() {
	sys := client.Sys()
	text := `path "kv2/data/app/*" { capabilities = ["read"] }`
	check("put and get a policy", func() error {
		if err := sys.PutPolicy("reader", text); err != nil {
			return err
		}
		read, err := sys.GetPolicy("reader")
		return errors.Join(err, want(read, text))
	})
	check("list policies", func() error {
		all, err := sys.ListPolicies()
		return errors.Join(err, want(slices.Contains(all, "reader"), true), want(slices.Contains(all, "root"), true))
	})
	check("a policy that does not parse", func() error {
		return wantStatus(sys.PutPolicy("broken", `path "a" { capabilities = ["fly"] }`), http.StatusBadRequest)
	})
	check("capabilities", func() error {
		made, err := client.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"reader"}})
		if err != nil {
			return err
		}
		other, err := sys.Capabilities(made.Auth.ClientToken, "kv2/data/app/db")
		if err != nil {
			return err
		}
		own, err := as(made.Auth.ClientToken).Sys().CapabilitiesSelf("kv2/data/other")
		return errors.Join(err, want(other, []string{"read"}), want(own, []string{"deny"}))
	})
	check("delete a policy", func() error {
		if err := sys.DeletePolicy("reader"); err != nil {
			return err
		}
		read, err := sys.GetPolicy("reader")
		return errors.Join(err, want(read, ""))
	})
}

func tokens() {
	auth := client.Auth().Token()
	check("create, look up, renew, revoke", func() error {
		made, err := auth.Create(&api.TokenCreateRequest{
			Policies: []string{"default"}, TTL: "1h", DisplayName: "go", Metadata: map[string]string{"team": "core"},
		})
		if err != nil {
			return err
		}
		token := made.Auth.ClientToken
		found, err := auth.Lookup(token)
		if err != nil {
			return err
		}
		policies, err := found.TokenPolicies()
		if err != nil {
			return err
		}
		metadata, err := found.TokenMetadata()
		if err != nil {
			return err
		}
		renewed, err := auth.Renew(token, 600)
		if err != nil {
			return err
		}
		self, err := as(token).Auth().Token().LookupSelf()
		if err != nil {
			return err
		}
		_, err = as(token).Auth().Token().RenewSelf(300)
		if err != nil {
			return err
		}
		if err = auth.RevokeTree(token); err != nil {
			return err
		}
		_, gone := auth.Lookup(token)
		return errors.Join(
			want(policies, []string{"default"}), want(metadata["team"], "core"), want(renewed.Auth.LeaseDuration, 600),
			want(self.Data["display_name"], "token-go"), wantStatus(gone, http.StatusForbidden),
		)
	})
	check("accessors", func() error {
		made, err := auth.Create(&api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
		if err != nil {
			return err
		}
		found, err := auth.LookupAccessor(made.Auth.Accessor)
		if err != nil {
			return err
		}
		if _, err = auth.RenewAccessor(made.Auth.Accessor, 120); err != nil {
			return err
		}
		return errors.Join(want(found.Data["id"], ""), auth.RevokeAccessor(made.Auth.Accessor))
	})
	check("orphans and children", func() error {
		parent, err := auth.CreateOrphan(&api.TokenCreateRequest{Policies: []string{"root"}, TTL: "1h"})
		if err != nil {
			return err
		}
		child, err := as(parent.Auth.ClientToken).Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"default"}})
		if err != nil {
			return err
		}
		if err = auth.RevokeOrphan(parent.Auth.ClientToken); err != nil {
			return err
		}
		_, err = auth.Lookup(child.Auth.ClientToken)
		return errors.Join(err, auth.RevokeTree(child.Auth.ClientToken))
	})
	check("roles", func() error {
		role := map[string]any{"allowed_policies": "default", "orphan": true, "token_period": "1h", "path_suffix": "v1"}
		if _, err := client.Logical().Write("auth/token/roles/robot", role); err != nil {
			return err
		}
		made, err := auth.CreateWithRole(&api.TokenCreateRequest{}, "robot")
		if err != nil {
			return err
		}
		found, err := auth.Lookup(made.Auth.ClientToken)
		if err != nil {
			return err
		}
		_, refused := auth.CreateWithRole(&api.TokenCreateRequest{Policies: []string{"other"}}, "robot")
		return errors.Join(
			want(found.Data["path"], "auth/token/create/robot/v1"), want(made.Auth.Orphan, true),
			wantStatus(refused, http.StatusBadRequest),
		)
	})
	check("batch tokens", func() error {
		made, err := auth.Create(&api.TokenCreateRequest{Type: "batch", Policies: []string{"default"}, TTL: "1h"})
		if err != nil {
			return err
		}
		self, err := as(made.Auth.ClientToken).Auth().Token().LookupSelf()
		if err != nil {
			return err
		}
		_, renewed := auth.Renew(made.Auth.ClientToken, 60)
		return errors.Join(
			want(made.Auth.Accessor, ""), want(strings.HasPrefix(made.Auth.ClientToken, "hvb."), true),
			want(self.Data["type"], "batch"), wantStatus(renewed, http.StatusBadRequest),
		)
	})
	check("the life of a watched token", func() error {
		made, err := auth.Create(&api.TokenCreateRequest{Policies: []string{"default"}, TTL: "3s"})
		if err != nil {
			return err
		}
		watcher, err := as(made.Auth.ClientToken).NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: made})
		if err != nil {
			return err
		}
		go watcher.Start()
		defer watcher.Stop()
		select {
		case <-watcher.RenewCh():
			return nil
		case err := <-watcher.DoneCh():
			return fmt.Errorf("ended without a renewal: %v", err)
		case <-time.After(10 * time.Second):
			return errors.New("no renewal within 10 s")
		}
	})
}

func keyValueOne() {
	must(client.Sys().Mount("kv1", &api.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}))
	kv := client.KVv1("kv1")
	check("kv 1", func() error {
		if err := kv.Put(ctx, "app/db", map[string]any{"user": "a", "pass": "b"}); err != nil {
			return err
		}
		read, err := kv.Get(ctx, "app/db")
		if err != nil {
			return err
		}
		list, err := client.Logical().List("kv1/app")
		if err != nil {
			return err
		}
		if err = kv.Delete(ctx, "app/db"); err != nil {
			return err
		}
		_, gone := kv.Get(ctx, "app/db")
		return errors.Join(
			want(read.Data, map[string]any{"user": "a", "pass": "b"}), want(list.Data["keys"], []any{"db"}),
			want(errors.Is(gone, api.ErrSecretNotFound), true),
		)
	})
}

func keyValueTwo() {
	must(client.Sys().Mount("kv2", &api.MountInput{Type: "kv-v2"}))
	kv := client.KVv2("kv2")
	check("kv 2: versions", func() error {
		first, err := kv.Put(ctx, "app", map[string]any{"n": "1"}, api.WithCheckAndSet(0))
		if err != nil {
			return err
		}
		if _, err = kv.Put(ctx, "app", map[string]any{"n": "2"}); err != nil {
			return err
		}
		_, clash := kv.Put(ctx, "app", map[string]any{"n": "3"}, api.WithCheckAndSet(1))
		old, err := kv.GetVersion(ctx, "app", 1)
		if err != nil {
			return err
		}
		all, err := kv.GetVersionsAsList(ctx, "app")
		if err != nil {
			return err
		}
		back, err := kv.Rollback(ctx, "app", 1)
		if err != nil {
			return err
		}
		return errors.Join(
			want(first.VersionMetadata.Version, 1), wantStatus(clash, http.StatusBadRequest), want(old.Data["n"], "1"),
			want(len(all), 2), want(back.VersionMetadata.Version, 3),
		)
	})
	check("kv 2: patch", func() error {
		if _, err := kv.Patch(ctx, "app", map[string]any{"more": "x"}); err != nil {
			return err
		}
		if _, err := kv.Patch(ctx, "app", map[string]any{"more": nil}, api.WithMergeMethod("rw")); err != nil {
			return err
		}
		read, err := kv.Get(ctx, "app")
		return errors.Join(err, want(read.Data["n"], "1"))
	})
	check("kv 2: metadata", func() error {
		err := kv.PutMetadata(ctx, "app", api.KVMetadataPutInput{MaxVersions: 7, CustomMetadata: map[string]any{"owner": "core"}})
		if err != nil {
			return err
		}
		metadata, err := kv.GetMetadata(ctx, "app")
		return errors.Join(err, want(metadata.MaxVersions, 7), want(metadata.CustomMetadata["owner"], "core"))
	})
	check("kv 2: delete, undelete, destroy", func() error {
		if err := kv.Delete(ctx, "app"); err != nil {
			return err
		}
		read, err := kv.Get(ctx, "app")
		if err != nil {
			return err
		}
		deleted := read.Data == nil
		version := read.VersionMetadata.Version
		if err = kv.Undelete(ctx, "app", []int{version}); err != nil {
			return err
		}
		if err = kv.Destroy(ctx, "app", []int{1}); err != nil {
			return err
		}
		return errors.Join(want(deleted, true), kv.DeleteMetadata(ctx, "app"))
	})
	check("pages of a list", func() error {
		for _, name := range []string{"a", "b", "c", "d"} {
			if _, err := kv.Put(ctx, "pages/"+name, map[string]any{"x": 1}); err != nil {
				return err
			}
		}
		page, err := client.Logical().ListPage("kv2/metadata/pages", "a", 2)
		return errors.Join(err, want(page.Data["keys"], []any{"b", "c"}))
	})
}

func wrapping() {
	check("wrap and unwrap", func() error {
		wrapper := connect()
		wrapper.SetWrappingLookupFunc(func(string, string) string { return "60s" })
		wrapped, err := wrapper.Logical().Write("sys/wrapping/wrap", map[string]any{"a": "b"})
		if err != nil {
			return err
		}
		info, err := client.Logical().Write("sys/wrapping/lookup", map[string]any{"token": wrapped.WrapInfo.Token})
		if err != nil {
			return err
		}
		moved, err := client.Logical().Write("sys/wrapping/rewrap", map[string]any{"token": wrapped.WrapInfo.Token})
		if err != nil {
			return err
		}
		inner, err := client.Logical().Unwrap(moved.WrapInfo.Token)
		if err != nil {
			return err
		}
		_, again := client.Logical().Unwrap(moved.WrapInfo.Token)
		return errors.Join(
			want(wrapped.WrapInfo.TTL, 60), want(info.Data["creation_path"], "sys/wrapping/wrap"), want(inner.Data["a"], "b"),
			wantStatus(again, http.StatusBadRequest),
		)
	})
}

func logins() {
	check("approle", func() error {
		if err := client.Sys().EnableAuth("approle", "approle", ""); err != nil {
			return err
		}
		role := map[string]any{"token_policies": "default", "token_ttl": "20m", "secret_id_num_uses": 1}
		if _, err := client.Logical().Write("auth/approle/role/app", role); err != nil {
			return err
		}
		id, err := client.Logical().Read("auth/approle/role/app/role-id")
		if err != nil {
			return err
		}
		secret, err := client.Logical().Write("auth/approle/role/app/secret-id", nil)
		if err != nil {
			return err
		}
		login := map[string]any{"role_id": id.Data["role_id"], "secret_id": secret.Data["secret_id"]}
		answer, err := as("").Logical().Write("auth/approle/login", login)
		if err != nil {
			return err
		}
		_, spent := as("").Logical().Write("auth/approle/login", login)
		return errors.Join(
			want(answer.Auth.LeaseDuration, 1200), want(answer.Auth.Metadata["role_name"], "app"),
			want(answer.Auth.EntityID != "", true), wantStatus(spent, http.StatusBadRequest),
		)
	})
	check("userpass", func() error {
		if err := client.Sys().EnableAuth("userpass", "userpass", ""); err != nil {
			return err
		}
		user := map[string]any{"password": "correct horse", "token_policies": "default"}
		if _, err := client.Logical().Write("auth/userpass/users/ada", user); err != nil {
			return err
		}
		answer, err := as("").Logical().Write("auth/userpass/login/ada", map[string]any{"password": "correct horse"})
		if err != nil {
			return err
		}
		_, wrong := as("").Logical().Write("auth/userpass/login/ada", map[string]any{"password": "wrong"})
		return errors.Join(want(answer.Auth.Metadata["username"], "ada"), wantStatus(wrong, http.StatusBadRequest))
	})
	check("identity", func() error {
		made, err := client.Logical().Write("identity/entity", map[string]any{"name": "ada", "policies": "default"})
		if err != nil {
			return err
		}
		found, err := client.Logical().Write("identity/lookup/entity", map[string]any{"name": "ada"})
		return errors.Join(err, want(found.Data["id"], made.Data["id"]))
	})
}

func audit() {
	sys := client.Sys()
	check("audit devices", func() error {
		options := &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": "discard"}}
		if err := sys.EnableAuditWithOptions("second", options); err != nil {
			return err
		}
		all, err := sys.ListAudit()
		if err != nil {
			return err
		}
		hash, err := sys.AuditHash("second", "text")
		if err != nil {
			return err
		}
		return errors.Join(
			want(all["second/"].Type, "file"), want(strings.HasPrefix(hash, "hmac-sha256:"), true), sys.DisableAudit("second"),
		)
	})
}

func leases() {
	sys := client.Sys()
	check("a lease that does not exist", func() error {
		_, lookup := sys.Lookup("database/creds/none/AAAAAAAAAAAAAAAAAAAAAAAA")
		_, renew := sys.Renew("database/creds/none/AAAAAAAAAAAAAAAAAAAAAAAA", 60)
		return errors.Join(wantStatus(lookup, http.StatusBadRequest), wantStatus(renew, http.StatusBadRequest))
	})
	check("revoking by prefix", func() error {
		made, err := client.Logical().Write("auth/userpass/login/ada", map[string]any{"password": "correct horse"})
		if err != nil {
			return err
		}
		if err = sys.RevokePrefix("auth/userpass/login/ada"); err != nil {
			return err
		}
		_, gone := client.Auth().Token().Lookup(made.Auth.ClientToken)
		return errors.Join(wantStatus(gone, http.StatusForbidden), sys.RevokeForce("auth/userpass"))
	})
}

func keys() {
	sys := client.Sys()
	check("key status and rotation", func() error {
		before, err := sys.KeyStatus()
		if err != nil {
			return err
		}
		if err = sys.Rotate(); err != nil {
			return err
		}
		after, err := sys.KeyStatus()
		return errors.Join(err, want(after.Term, before.Term+1))
	})
	check("generate root", func() error {
		started, err := sys.GenerateRootInit("", "")
		if err != nil {
			return err
		}
		var last *api.GenerateRootStatusResponse
		for _, share := range shares[:3] {
			if last, err = sys.GenerateRootUpdate(share, started.Nonce); err != nil {
				return err
			}
		}
		return errors.Join(want(last.Complete, true), want(last.EncodedToken != "", true), want(len(started.OTP), started.OTPLength))
	})
	check("cancel generate root", func() error {
		if _, err := sys.GenerateRootInit("", ""); err != nil {
			return err
		}
		return sys.GenerateRootCancel()
	})
	check("rekey", func() error {
		started, err := sys.RekeyInit(&api.RekeyInitRequest{SecretShares: 5, SecretThreshold: 3})
		if err != nil {
			return err
		}
		var last *api.RekeyUpdateResponse
		for _, share := range shares[:3] {
			if last, err = sys.RekeyUpdate(share, started.Nonce); err != nil {
				return err
			}
		}
		if err = errors.Join(want(last.Complete, true), want(len(last.KeysB64), 5)); err != nil {
			return err
		}
		shares = last.KeysB64
		return nil
	})
}

func sealing() {
	sys := client.Sys()
	check("seal and unseal with the new shares", func() error {
		if err := sys.Seal(); err != nil {
			return err
		}
		var status *api.SealStatusResponse
		for _, share := range shares[:3] {
			var err error
			if status, err = sys.Unseal(share); err != nil {
				return err
			}
		}
		return want(status.Sealed, false)
	})
	check("step down of a single node", func() error { return sys.StepDown() })
}
