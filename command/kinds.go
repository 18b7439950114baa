package command

import (
	"tfhaul/backend"
	"tfhaul/backend/atlas"
	"tfhaul/backend/azurerm"
	"tfhaul/backend/consul"
	"tfhaul/backend/file"
	"tfhaul/backend/gcs"
	"tfhaul/backend/http"
	"tfhaul/backend/kubernetes"
	"tfhaul/backend/pg"
	"tfhaul/backend/s3"
	"tfhaul/backend/tfe"
	"tfhaul/rootmodule"
)

// kinds are all kinds of backends. A new kind is a package and a line here.
func kinds(c backend.Connection) backend.Kinds {
	otherHTTP, gitLab := http.Kinds(c)
	all := backend.Kinds{
		file.Kind(c),
		s3.Kind(c),
		gcs.Kind(c),
		azurerm.Kind(c),
		pg.Kind(c),
		consul.Kind(c),
		kubernetes.Kind(c),
		gitLab,
		otherHTTP,
		atlas.Kind(c),
		tfe.Kind(c),
	}
	return append(all, rootmodule.Kind(c, all))
}
