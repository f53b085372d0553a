package refusal

import "slices"

// modelRules match models that the channel does not have, or not at present:
//
//	404 {"error":{"message":"The model `m1` does not exist or you do not have access to it.",
//	     "type":"invalid_request_error","code":"model_not_found"}}                          Groq, OpenAI
//	404 {"error":{"code":404,"message":"No endpoints","availability":{"code":
//	     "free_variant_ended","retryable":false,…}}}                                        OpenRouter
//	400 {"status":400,"title":"Bad Request","detail":"Function id '…': DEGRADED function
//	     cannot be invoked"}                                                                NVIDIA
//	429 {"error":{"code":429,"details":[{"violations":[{"quotaId":
//	     "GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"0"}]}]}}         Gemini
//
// The last one is a quota of 0: the model has no free tier, and waiting for the
// next day does not help.
var modelRules = []rule{
	{
		name: "no tools, no images", group: groupModel, status: "404",
		texts: []string{"no endpoints found that", "no allowed providers"},
		kind:  KindRequestHere, reason: ReasonUnsupported,
		source: docOpenRouter + ": it is the request's tools, images or provider field that nobody serves",
	},
	{
		name: "data policy of the account", group: groupModel, status: "404",
		texts: []string{"^no endpoints*data policy", "^no endpoints*guardrail"},
		kind:  KindPlan, reason: ReasonPlan, source: docOpenRouter,
	},
	{
		name: "project without the model", group: groupModel, status: "403",
		fields: []string{"model_not_found"},
		kind:   KindPlan, reason: ReasonPlan, source: docOpenAI + ": Project … does not have access to model …",
	},
	{
		name: "withdrawn model, by field", group: groupModel,
		fields: []string{
			"model_decommissioned", "model_deprecated", "model_unavailable_upstream", "free_variant_ended", "no_endpoints",
			"zai:1221", "zai:1222", "InvalidEndpoint.ClosedEndpoint",
		},
		kind: KindModel, reason: ReasonWithdrawn, source: "OpenRouter, Groq, Z.ai, Volcengine: error codes",
	},
	{
		name: "withdrawn model, by status", group: groupModel, status: "410",
		kind: KindModel, reason: ReasonWithdrawn, source: "RFC 9110, section 15.5.11; NVIDIA: has reached its end of life",
	},
	{
		name: "withdrawn model, by text", group: groupModel, status: "400 401 403 404 503",
		texts: []string{
			"^the model*end of life", "^this model*end of life", "^the model*no longer", "^this model*no longer", "^models/*no longer",
			"^model*no longer", "^the model*has been retired", "^the model*has been deprecated", "^this model*has been", "^model*has been retired",
			"^free promotion*has ended",
		},
		except: []string{"parameter", "api version"},
		kind:   KindModel, reason: ReasonWithdrawn, source: "Gemini, Groq, NVIDIA, OpenCode Zen: messages",
	},
	{
		name: "no free tier", group: groupModel, status: "429",
		when: func(f *facts) bool { return f.quota.zero }, whenWords: "the quota's value is 0",
		kind: KindModel, reason: ReasonNoFreeTier, ask: true, byField: true, source: docGemini,
	},
	{
		name: "degraded model", group: groupModel, status: "400 404 500 503",
		texts: []string{"^function id*: degraded function"},
		kind:  KindDegraded, reason: ReasonDegraded, source: reported + " (NVIDIA)",
	},
	{
		name: "unknown model, or no access", group: groupModel, status: "400 401 403 404",
		texts: []string{
			"^the model*or you do not have access", "^model*or you do not have access", "^the requested model*or you do not have access",
			"^project*does not have access to model", "^function*: not found for account",
		},
		kind: KindModel, reason: ReasonUnknownModel, ask: true, source: "OpenAI, Groq, Cerebras, NVIDIA: messages",
	},
	{
		name: "unknown model, by field", group: groupModel, status: "400 401 403 404 422 5xx",
		fields: []string{
			"model_not_found", "unknown_model", "invalid_model", "InvalidModel", "ModelNotFound", "model_not_supported", "no_such_model",
			"InvalidEndpointOrModel.NotFound", "DeploymentNotFound", "zai:1211", "siliconflow:20012", "cloudflare:5007", "cloudflare:3042",
		},
		kind: KindModel, reason: ReasonUnknownModel, source: "OpenAI, Mistral, Qianfan, DashScope, Volcengine, Azure, Z.ai, SiliconFlow, Cloudflare, one-api: error codes",
	},
	{
		name: "unknown model, by text of a 401 or 404", group: groupModel, status: "401 404",
		texts: []string{"^model:", "^model*is not supported", "^the model*is not supported"},
		kind:  KindModel, reason: ReasonUnknownModel, source: docAnthropic + "; OpenCode Zen: messages",
	},
	{
		name: "unknown model, by parameter", group: groupModel, status: "404",
		when:      func(f *facts) bool { return slices.Contains(f.params, "model") },
		whenWords: "`param` is `model`",
		kind:      KindModel, reason: ReasonUnknownModel, byField: true, source: "Cerebras: error codes",
	},
	{
		name: "unknown model, by text", group: groupModel, status: "400 401 404 422 503",
		texts: []string{
			"^no endpoints found for", "^no available channel for model", "^unknown model", "^invalid model", "^no such model", "^model not found",
			"^model*does not exist", "^model*not found", "^the model*does not exist", "^the model*not found", "^the requested model*not found",
			"^models/*is not found", "^is not a valid model", "^*is not a valid model id",
			"^no provider*supports model", "模型不存在", "无可用渠道",
		},
		kind: KindModel, reason: ReasonUnknownModel, source: "OpenRouter, Gemini, Hugging Face, Ollama, OpenCode Zen, one-api: messages",
	},
}

// planRules match models that the account's plan does not include:
//
//	403 {"error":{"code":"AllocationQuota.FreeTierOnly","message":"The free tier of the
//	     model has been exhausted.",…}}                                                     DashScope
//
// DashScope gives each model a grant of its own, so this one is about one model.
var planRules = []rule{
	{
		name: "plan, by field", group: groupPlan, status: "400 401 402 403 404 429",
		fields: []string{
			"free_tier_model_not_available", "AllocationQuota.FreeTierOnly", "cloudflare:5016", "cloudflare:5018", "cloudflare:3041",
			"zai:1220", "zai:1311", "SetLimitExceeded", "privacy_restricted", "AccessDenied.Unpurchased", "ModelNotOpen",
		},
		kind: KindPlan, reason: ReasonPlan, source: "Vercel, DashScope, Cloudflare, Z.ai, Volcengine, OpenRouter: error codes",
	},
	{
		name: "plan, at two providers", group: groupPlan, only: []Provider{DashScope, Volcengine}, status: "403",
		fields: []string{"AccessDenied"},
		kind:   KindPlan, reason: ReasonPlan, source: docDashScope + "; " + docVolcengine,
	},
	{
		name: "plan, by text", group: groupPlan, status: "401 402 403 404",
		texts: []string{
			"^this model requires a subscription", "^upgrade required", "^this model is not available in your plan",
			"^this model is not available on your plan", "^your account*has not activated", "^实名", "^请先完成实名", "^请完成实名", "^账户未实名",
		},
		kind: KindPlan, reason: ReasonPlan, source: "Ollama, LLM7, Volcengine, SiliconFlow: messages",
	},
}

// regionRules match refusals of this server's country:
//
//	400 {"error":{"code":400,"message":"User location is not supported for the API use.",
//	     "status":"FAILED_PRECONDITION"}}                                                   Gemini
//	403 {"error":{"code":"unsupported_country_region_territory",
//	     "message":"Country, region, or territory not supported",…}}                        OpenAI
var regionRules = []rule{
	{
		name: "region of the model", group: groupRegion,
		fields: []string{"region_restricted"},
		kind:   KindModel, reason: ReasonRegion, source: docOpenRouter,
	},
	{
		name: "region, by field", group: groupRegion,
		fields: []string{"unsupported_country_region_territory", "unsupported_country*"},
		kind:   KindRegion, reason: ReasonRegion, source: docOpenAI,
	},
	{
		name: "region, by text", group: groupRegion, status: "400 403 451",
		texts: []string{
			"^user location is not supported", "^gemini api free tier is not available in your country", "^country, region, or territory not supported",
			"^this service is not available in your", "^the service is not available in your", "^your country is not supported",
		},
		kind: KindRegion, reason: ReasonRegion, source: docGemini,
	},
	{
		name: "region, by precondition", group: groupRegion, status: "400",
		when: func(f *facts) bool {
			return slices.Contains(f.names, "failedprecondition") && f.messages.match(places)
		},
		whenWords: "the status is `FAILED_PRECONDITION` and the text begins with the location, country or region",
		kind:      KindRegion, reason: ReasonRegion, source: docGemini,
	},
}

// places are beginnings of messages about a location.
var places = compileAll("^user location", "^gemini api free tier*country", "^your location", "^your country", "^your region", "^location", "^region")
