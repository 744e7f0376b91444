// Swagger UI for the document that the page names. It stores nothing and loads no other host.
const { spec, expansion } = document.body.dataset;
SwaggerUIBundle({
  url: spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
  docExpansion: expansion,
  defaultModelsExpandDepth: 0,
});

// Swagger UI has a dark theme, which the page has to switch on.
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
