"use strict";
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#browser",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
