package tfesim_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http/httptest"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// A test of a program that uses go-tfe. The server checks the serial, the lineage, the
// digest and the lock as the real one does.
func Example() {
	server, err := tfesim.New(tfesim.Options{Organizations: []string{"acme"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	id, err := server.AddWorkspace("acme", "network")
	if err != nil {
		fmt.Println(err)
		return
	}
	listener := httptest.NewServer(server)
	defer listener.Close()

	client, err := tfe.NewClient(&tfe.Config{Address: listener.URL, Token: server.Token(tfesim.Owner)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	state := []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"4b7e3a52","outputs":{},"resources":[]}`)
	sum := md5.Sum(state)
	upload := tfe.StateVersionCreateOptions{
		Serial: tfe.Int64(1),
		MD5:    tfe.String(hex.EncodeToString(sum[:])),
		State:  tfe.String(base64.StdEncoding.EncodeToString(state)),
	}

	_, err = client.StateVersions.Create(ctx, id, upload)
	fmt.Println("refused without the lock:", err != nil)

	if _, err := client.Workspaces.Lock(ctx, id, tfe.WorkspaceLockOptions{Reason: tfe.String("a test")}); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.StateVersions.Create(ctx, id, upload); err != nil {
		fmt.Println(err)
		return
	}
	raw, serial, _ := server.Current("acme", "network")
	fmt.Printf("the workspace holds serial %d, %d bytes\n", serial, len(raw))
	// Output:
	// refused without the lock: true
	// the workspace holds serial 1, 102 bytes
}

// A lost reply: the server creates the workspace, but the client never learns of it.
func ExampleServer_Inject() {
	server, err := tfesim.New(tfesim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	listener := httptest.NewServer(server)
	defer listener.Close()
	client, err := tfe.NewClient(&tfe.Config{Address: listener.URL, Token: server.Token(tfesim.Owner)})
	if err != nil {
		fmt.Println(err)
		return
	}

	server.Inject(tfesim.Fault{
		Endpoint: "POST /organizations/:organization/workspaces",
		After:    true,
		Kind:     tfesim.FaultReset,
	})
	_, err = client.Workspaces.Create(context.Background(), "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("network")})
	fmt.Println("the client got an error:", err != nil)
	fmt.Println("the server has", server.Workspaces("demo"))
	// Output:
	// the client got an error: true
	// the server has [network]
}
