// Starts Swagger UI on our own description. No validator badge: it would ask a foreign server.
"use strict";
const place = document.getElementById("docs");
window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.spec,
  validatorUrl: null,
  deepLinking: true,
  tryItOutEnabled: true,
});
