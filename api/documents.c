/* The two API documents, as they stand in the source tree. */
#include "api/api.h"
#include "api/respond.h"
#include "core/embed.h"

EMBED(belfry_openapi_yaml, "openapi.yaml");

void api_openapi(struct api_call *call)
{
    respond_embedded(call->req, "application/yaml", (struct str){belfry_openapi_yaml, EMBED_LEN(belfry_openapi_yaml)});
}

EMBED(belfry_asyncapi_yaml, "asyncapi.yaml");

void api_asyncapi(struct api_call *call)
{
    respond_embedded(call->req, "application/yaml",
                     (struct str){belfry_asyncapi_yaml, EMBED_LEN(belfry_asyncapi_yaml)});
}
