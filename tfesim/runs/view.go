package runs

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// planID and applyID return the ids of a run's plan and apply.
func (r *run) planID() string  { return "plan-" + strings.TrimPrefix(r.ID, "run-") }
func (r *run) applyID() string { return "apply-" + strings.TrimPrefix(r.ID, "run-") }

// listRuns answers GET /workspaces/:id/runs, newest first.
func listRuns(c *call, w Workspace) (*jsonapi.Answer, error) {
	return c.runPage(slices.DeleteFunc(c.s.runsOf(w.ID), c.runsUnwanted()), true)
}

// listOrganizationRuns answers GET /organizations/:organization/runs, which has no totals.
func listOrganizationRuns(c *call) (*jsonapi.Answer, error) {
	_, workspaces, err := c.Organization()
	if err != nil {
		return nil, err
	}
	q := c.Request().URL.Query()
	pools, names := jsonapi.SplitList(q.Get("filter[agent_pool_names]")), jsonapi.SplitList(q.Get("filter[workspace_names]"))
	var all []*run
	for _, w := range workspaces {
		named := len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, w.Name) })
		if named && c.May(Read, w.ID) && (len(pools) == 0 || slices.Contains(pools, w.AgentPool)) {
			all = append(all, c.s.runsOf(w.ID)...)
		}
	}
	slices.SortFunc(all, func(a, b *run) int { return int(b.Sequence) - int(a.Sequence) })
	return c.runPage(slices.DeleteFunc(all, c.runsUnwanted()), false)
}

// listRunQueue answers GET /organizations/:organization/runs/queue: the runs that have not ended.
func listRunQueue(c *call) (*jsonapi.Answer, error) {
	_, workspaces, err := c.Organization()
	if err != nil {
		return nil, err
	}
	var all []*run
	for _, w := range workspaces {
		if c.May(Read, w.ID) {
			all = append(all, slices.DeleteFunc(c.s.runsOf(w.ID), (*run).final)...)
		}
	}
	slices.SortFunc(all, func(a, b *run) int { return int(a.Sequence) - int(b.Sequence) })
	return c.runPage(all, true)
}

// getCapacity answers GET /organizations/:organization/capacity.
func getCapacity(c *call) (*jsonapi.Answer, error) {
	org, workspaces, err := c.Organization()
	if err != nil {
		return nil, err
	}
	pending, running := 0, 0
	for _, w := range workspaces {
		for _, r := range c.s.runsOf(w.ID) {
			switch r.Status {
			case runPending, runPlanQueued, runApplyQueued:
				pending++
			case runPlanning, runApplying:
				running++
			}
		}
	}
	return jsonapi.OK(jsonapi.Document{Data: jsonapi.Resource{ID: org, Type: "organization-capacity",
		Attributes: map[string]any{"pending": pending, "running": running}}}), nil
}

func (c *call) runPage(all []*run, totals bool) (*jsonapi.Answer, error) {
	a, err := jsonapi.List(c.Request(), all, c.runResource, c.runIncludes)
	if err == nil && !totals {
		pagination := a.Body.(jsonapi.Document).Meta.(map[string]any)["pagination"].(map[string]any)
		delete(pagination, "total-count")
		delete(pagination, "total-pages")
	}
	return a, err
}

// runsUnwanted returns a function that reports whether the search and filter parameters exclude a
// run.
func (c *call) runsUnwanted() func(*run) bool {
	q := c.Request().URL.Query()
	statuses, sources := jsonapi.SplitList(q.Get("filter[status]")), jsonapi.SplitList(q.Get("filter[source]"))
	operations := jsonapi.SplitList(q.Get("filter[operation]"))
	user, commit, basic := q.Get("search[user]"), q.Get("search[commit]"), q.Get("search[basic]")
	group := q.Get("filter[status_group]")
	outside := func(list []string, value string) bool { return len(list) > 0 && !slices.Contains(list, value) }
	return func(r *run) bool {
		switch {
		case outside(statuses, r.Status), outside(sources, r.Source), outside(operations, c.s.operation(r)):
			return true
		case commit != "": // no run comes from a VCS here
			return true
		case user != "" && c.s.host.HolderName(r.CreatedBy) != user:
			return true
		case user == "" && basic != "" && basic != r.ID && !strings.Contains(r.Message, basic) && c.s.host.HolderName(r.CreatedBy) != basic:
			return true
		case group == "final" && !r.final(), group == "non_final" && r.final(), group == "discardable" && r.Status != runPlanned:
			return true
		}
		return false
	}
}

// operation returns the kind of a run as filters name it.
func (s *Service) operation(r *run) string {
	switch {
	case s.speculative(r):
		return "plan_only"
	case r.SavePlan:
		return "save_plan"
	case r.RefreshOnly:
		return "refresh_only"
	case r.Destroy:
		return "destroy"
	case r.EmptyApply:
		return "empty_apply"
	}
	return "plan_and_apply"
}

// runIncludes returns the resources that the include parameter asks for.
func (c *call) runIncludes(r *run) ([]jsonapi.Resource, error) {
	s := c.s
	var out []jsonapi.Resource
	for _, name := range jsonapi.Includes(c.Request()) {
		switch name {
		case "":
		case "plan":
			out = append(out, c.planResource(r))
		case "apply":
			out = append(out, c.applyResource(r))
		case "created_by":
			if user, known := s.host.User(r.CreatedBy); known {
				out = append(out, user)
			}
		case "workspace":
			out = append(out, c.WorkspaceResource(r.Workspace))
		case "configuration_version", "configuration_version.ingress_attributes":
			if v := s.configurations[r.Configuration]; v != nil {
				out = append(out, c.configurationResource(v))
			}
		case "cost_estimate", "task_stages", "task-stages", "policy_checks", "run_events", "tf_policy_evaluations":
			// The API knows these. Runs have none here.
		default:
			return nil, jsonapi.BadInclude(name)
		}
	}
	return out, nil
}

// isoTimes formats the times of statuses the way the API does: "planned-at".
func isoTimes(times map[string]time.Time) map[string]any {
	out := map[string]any{}
	for status, at := range times {
		out[strings.ReplaceAll(status, "_", "-")+"-at"] = at.UTC().Format(time.RFC3339)
	}
	return out
}

func (c *call) runResource(r *run) jsonapi.Resource {
	s := c.s
	self := "/api/v2/runs/" + r.ID
	if r.Status == "" {
		return heldRunResource(r)
	}
	write, admin := c.May(Write, r.Workspace) && c.MayRun(), c.May(Administer, r.Workspace) && c.MayRun()
	times := isoTimes(r.Times)
	times["plan-queueable-at"] = r.Created.UTC().Format(time.RFC3339)
	attributes := map[string]any{}
	jsonapi.ShowSettings(runSettings, r.Settings, attributes)
	maps.Copy(attributes, map[string]any{
		"actions": map[string]any{
			"is-cancelable":       r.cancelable(),
			"is-confirmable":      r.confirmable(),
			"is-discardable":      r.discardable(),
			"is-force-cancelable": r.forceCancelable(c.Now()),
		},
		"allow-empty-apply":         r.EmptyApply,
		"auto-apply":                r.AutoApply,
		"canceled-at":               nil,
		"created-at":                jsonapi.Timestamp(r.Created),
		"force-cancel-available-at": nil,
		"has-changes":               r.Plan.HasChanges,
		"is-destroy":                r.Destroy,
		"message":                   r.Message,
		"permissions": map[string]any{
			"can-apply":                 write,
			"can-cancel":                write,
			"can-comment":               write,
			"can-discard":               write,
			"can-force-cancel":          admin,
			"can-force-execute":         write,
			"can-override-policy-check": admin,
		},
		"plan-only":         s.speculative(r),
		"position-in-queue": s.position(r),
		"refresh":           !r.NoRefresh,
		"refresh-only":      r.RefreshOnly,
		"replace-addrs":     r.Replaces,
		"save-plan":         r.SavePlan,
		"source":            r.Source,
		"status":            r.Status,
		"status-timestamps": times,
		"target-addrs":      r.Targets,
		"terraform-version": r.Version,
		"trigger-reason":    "manual",
		"variables":         r.Variables,
	})
	if !r.Canceled.IsZero() {
		attributes["canceled-at"] = jsonapi.Timestamp(r.Canceled)
		attributes["force-cancel-available-at"] = jsonapi.Timestamp(r.Canceled.Add(forceCancelAfter))
	}
	var events, comments []jsonapi.Ref
	for _, e := range r.Events {
		events = append(events, jsonapi.Ref{ID: e.ID, Type: "run-events"})
	}
	for _, m := range r.Comments {
		comments = append(comments, jsonapi.Ref{ID: m.ID, Type: "comments"})
	}
	return jsonapi.Resource{ID: r.ID, Type: "runs", Attributes: attributes, Relationships: map[string]any{
		"workspace":             jsonapi.ToOne(&jsonapi.Ref{ID: r.Workspace, Type: "workspaces"}, ""),
		"configuration-version": jsonapi.ToOne(configurationRef(s.configurations[r.Configuration]), self+"/configuration-version"),
		"plan":                  jsonapi.ToOne(&jsonapi.Ref{ID: r.planID(), Type: "plans"}, self+"/plan"),
		"apply":                 jsonapi.ToOne(&jsonapi.Ref{ID: r.applyID(), Type: "applies"}, self+"/apply"),
		"created-by":            jsonapi.ToOne(s.actor(&r.CreatedBy), self+"/created-by"),
		"confirmed-by":          jsonapi.ToOne(s.actor(r.ConfirmedBy), ""),
		"run-events":            jsonapi.ToMany(events),
		"comments":              jsonapi.ToMany(comments),
		"policy-checks":         jsonapi.ToMany(nil),
		"task-stages":           jsonapi.ToMany(nil),
	}, Links: map[string]any{"self": self}}
}

// heldRunResource renders a run that only holds a lock.
func heldRunResource(r *run) jsonapi.Resource {
	return jsonapi.Resource{ID: r.ID, Type: "runs", Attributes: map[string]any{
		"status":     runApplying,
		"created-at": jsonapi.Timestamp(r.Created),
		"message":    "Triggered via API",
		"source":     "tfe-api",
		"is-destroy": false,
		"plan-only":  false,
	}, Relationships: map[string]any{
		"workspace": jsonapi.ToOne(&jsonapi.Ref{ID: r.Workspace, Type: "workspaces"}, ""),
	}, Links: map[string]any{"self": "/api/v2/runs/" + r.ID}}
}

// position returns how many runs are ahead of a waiting run. It is 0 for other runs.
func (s *Service) position(r *run) int {
	if r.Status != runPending {
		return 0
	}
	n := 0
	for _, other := range s.runs {
		if other.Workspace == r.Workspace && other.Status != "" && !other.final() && !s.speculative(other) && other.Sequence < r.Sequence {
			n++
		}
	}
	return n
}

// getPlan answers GET /plans/:id and GET /runs/:id/plan.
func getPlan(c *call, r *run) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: c.planResource(r)}), nil
}

// getApply answers GET /applies/:id and GET /runs/:id/apply.
func getApply(c *call, r *run) (*jsonapi.Answer, error) {
	return jsonapi.OK(jsonapi.Document{Data: c.applyResource(r)}), nil
}

// runOfPart returns the run whose plan or apply the path names.
func (c *call) runOfPart(variable, prefix string) (*run, error) {
	id := c.Request().PathValue("run_id")
	if part := c.Request().PathValue(variable); part != "" {
		suffix, found := strings.CutPrefix(part, prefix)
		if !found {
			return nil, jsonapi.NotFound()
		}
		id = "run-" + suffix
	}
	r := c.s.runs[id]
	if r == nil || r.Status == "" || !c.May(Read, r.Workspace) {
		return nil, jsonapi.NotFound()
	}
	return r, nil
}

// getPlanJSON answers GET /plans/:id/json-output, for the workspace's administrators: with 204
// before the plan has finished, then with a redirect to an address that is valid for a minute.
func getPlanJSON(c *call, r *run) (*jsonapi.Answer, error) {
	if c.s.options.HYOK || !c.May(Administer, r.Workspace) {
		return nil, jsonapi.NotFound()
	}
	if r.Plan.JSON == nil {
		return jsonapi.NoContent(), nil
	}
	return c.redirect(blobs.Ticket{Kind: blobPlanJSON, ID: r.ID}), nil
}

func (c *call) planResource(r *run) jsonapi.Resource {
	attributes := c.phaseAttributes(r, &r.Plan, blobPlanLog)
	attributes["has-changes"] = r.Plan.HasChanges
	attributes["generated-configuration"] = false
	self := "/api/v2/plans/" + r.planID()
	links := map[string]any{"self": self}
	if r.Plan.JSON != nil && !c.s.options.HYOK {
		links["json-output"] = self + "/json-output"
	}
	return jsonapi.Resource{ID: r.planID(), Type: "plans", Attributes: attributes,
		Relationships: map[string]any{"exports": jsonapi.ToMany(nil)}, Links: links}
}

func (c *call) applyResource(r *run) jsonapi.Resource {
	return jsonapi.Resource{ID: r.applyID(), Type: "applies", Attributes: c.phaseAttributes(r, &r.Apply, blobApplyLog),
		Relationships: map[string]any{"state-versions": jsonapi.ToMany(c.s.host.StateVersions(r.Workspace, r.ID))},
		Links:         map[string]any{"self": "/api/v2/applies/" + r.applyID()}}
}

func (c *call) phaseAttributes(r *run, p *phase, log blobs.Kind) map[string]any {
	times := map[string]any{}
	for status, name := range map[string]string{phaseQueued: "queued-at", phaseRunning: "started-at",
		phaseFinished: "finished-at", phaseErrored: "errored-at", phaseCanceled: "canceled-at"} {
		if at, ok := p.Times[status]; ok {
			times[name] = at.UTC().Format(time.RFC3339)
		}
	}
	return map[string]any{
		"status":                        p.Status,
		"status-timestamps":             times,
		"log-read-url":                  c.s.options.Signer.Address(jsonapi.Origin(c.Request()), blobs.Ticket{Kind: log, ID: r.ID, Expires: c.Now().Add(blobs.DownloadLife).Unix()}),
		"resource-additions":            p.Additions,
		"resource-changes":              p.Changes,
		"resource-destructions":         p.Destructions,
		"resource-imports":              p.Imports,
		"execution-details":             map[string]any{"mode": "remote"},
		"structured-run-output-enabled": json.RawMessage("false"),
	}
}

// getRunConfiguration answers GET /runs/:id/configuration-version.
func getRunConfiguration(c *call, r *run) (*jsonapi.Answer, error) {
	v := c.s.configurations[r.Configuration]
	if v == nil {
		return nil, jsonapi.NotFound()
	}
	return jsonapi.OK(jsonapi.Document{Data: c.configurationResource(v)}), nil
}

// listRunEvents answers GET /runs/:id/run-events.
func listRunEvents(c *call, r *run) (*jsonapi.Answer, error) {
	data := []jsonapi.Resource{}
	for _, e := range r.Events {
		data = append(data, jsonapi.Resource{ID: e.ID, Type: "run-events", Attributes: map[string]any{
			"action": e.Action, "created-at": jsonapi.Timestamp(e.At), "description": nil,
		}, Relationships: map[string]any{"run": jsonapi.ToOne(&jsonapi.Ref{ID: r.ID, Type: "runs"}, "")}})
	}
	return jsonapi.OK(jsonapi.Document{Data: data}), nil
}

// listNothing answers lists that are always empty here, such as a run's policy checks.
func listNothing(c *call, _ *run) (*jsonapi.Answer, error) {
	return jsonapi.List(c.Request(), []jsonapi.Resource{}, jsonapi.Itself, nil)
}

// getComment answers GET /comments/:id.
func getComment(c *call) (*jsonapi.Answer, error) {
	id := c.Request().PathValue("comment_id")
	for _, r := range c.s.runs {
		for _, m := range r.Comments {
			if m.ID != id {
				continue
			}
			if !c.May(Read, r.Workspace) {
				return nil, jsonapi.NotFound()
			}
			return jsonapi.OK(jsonapi.Document{Data: commentResource(m)}), nil
		}
	}
	return nil, jsonapi.NotFound()
}

// listComments answers GET /runs/:id/comments.
func listComments(c *call, r *run) (*jsonapi.Answer, error) {
	data := []jsonapi.Resource{}
	for _, m := range r.Comments {
		data = append(data, commentResource(m))
	}
	return jsonapi.OK(jsonapi.Document{Data: data}), nil
}

func commentResource(m comment) jsonapi.Resource {
	return jsonapi.Resource{ID: m.ID, Type: "comments", Attributes: map[string]any{"body": m.Body}}
}

// ref returns a reference to the run.
func (r *run) ref() jsonapi.Ref { return jsonapi.Ref{ID: r.ID, Type: "runs"} }

// actor returns a relationship to the user who did something, or nil.
func (s *Service) actor(who *jsonapi.Ref) *jsonapi.Ref {
	if who == nil {
		return nil
	}
	if user, known := s.host.User(*who); known {
		return &jsonapi.Ref{ID: user.ID, Type: "users"}
	}
	return nil
}
