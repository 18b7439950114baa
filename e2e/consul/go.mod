module tfhaul/e2e/consul

go 1.26.0

replace tfhaul => ../..

require tfhaul v0.0.0-00010101000000-000000000000

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	github.com/hashicorp/go-version v1.9.0 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
