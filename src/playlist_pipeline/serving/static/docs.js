// The documentation of the API, made from its OpenAPI document.

import { find, make } from "./dom.js";

const nameOfRef = (schema) => schema.$ref?.split("/").at(-1);

/** Give a schema's type in words; named schemas become links. */
function makeType(schema) {
  if (schema.$ref) return [make("a", { href: `#schema-${nameOfRef(schema)}` }, nameOfRef(schema))];
  if (schema.allOf?.length === 1) return makeType(schema.allOf[0]);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.flatMap((option, index) => (index ? [" or ", ...makeType(option)] : makeType(option)));
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" or ")];
  if (schema.type === "array") return ["list of ", ...makeType(schema.items ?? {})];
  if (schema.type === "object" && schema.additionalProperties) return ["object of ", ...makeType(schema.additionalProperties)];
  return [schema.type ?? "any"];
}

const UNITS = [["minimum", "maximum", ""], ["minLength", "maxLength", " characters"], ["minItems", "maxItems", " items"]];

/** Give the bounds of a schema in words. */
function describeBounds(schema) {
  const own = UNITS.map(([low, high, unit]) => {
    const [least, most] = [schema[low], schema[high]].map((bound) => bound?.toLocaleString("en"));
    if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
    if (least !== undefined) return `at least ${least}${unit}`;
    return most === undefined ? "" : `at most ${most}${unit}`;
  });
  return [...own.filter(Boolean), ...(schema.anyOf ?? []).flatMap(describeBounds)];
}

function makeTable(caption, rows) {
  const head = ["name", "type", "what"].map((text) => make("th", { scope: "col" }, text));
  return make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

function makeRow(name, schema, { isRequired, description }) {
  const notes = [...describeBounds(schema), schema.default !== undefined && schema.default !== null ? `default ${JSON.stringify(schema.default)}` : null].filter(Boolean);
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, make("code", {}, name), isRequired ? " (required)" : ""),
    make("td", {}, ...makeType(schema)),
    make("td", {}, description ?? schema.description ?? "", notes.length ? make("small", {}, ` ${notes.join(", ")}`) : ""),
  );
}

function makeOperation(path, method, operation) {
  const heading = make("h3", {}, make("code", {}, make("span", { class: "method" }, method.toUpperCase()), ` ${path}`));
  const section = make("section", { id: operation.operationId }, heading, make("p", {}, operation.description ?? operation.summary ?? ""));
  if (operation.parameters?.length) {
    const rows = operation.parameters.map(({ name, schema, required, description }) => makeRow(name, schema, { isRequired: required, description }));
    section.append(make("h4", {}, "Parameters"), makeTable(`Parameters of ${operation.operationId}`, rows));
  }
  const body = operation.requestBody?.content["application/json"]?.schema;
  if (body) section.append(make("h4", {}, "Body"), make("p", {}, ...makeType(body)));
  const answers = Object.entries(operation.responses).map(([status, { description, content }]) => {
    const schema = content?.["application/json"]?.schema;
    return make("li", {}, make("code", {}, status), ` ${description} `, ...(schema && Object.keys(schema).length ? makeType(schema) : [Object.keys(content ?? {}).join(", ")]));
  });
  section.append(make("h4", {}, "Answers"), make("ul", { class: "rows" }, ...answers));
  return section;
}

function makeSchema(name, schema) {
  const section = make("section", { id: `schema-${name}` }, make("h3", {}, name), make("p", {}, schema.description ?? ""));
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([field, value]) => makeRow(field, value, { isRequired: required.has(field) }));
  if (rows.length) section.append(makeTable(`Fields of ${name}`, rows));
  for (const example of schema.examples ?? []) {
    const text = make("pre", { tabindex: "0" }, make("code", {}, JSON.stringify(example, null, 2)));
    section.append(make("h4", {}, "Example"), text);
  }
  return section;
}

async function show() {
  const content = find("content");
  try {
    const { info, paths, components } = await (await fetch("openapi.json")).json();
    find("title").textContent = `${info.title} ${info.version}: API`;
    const operations = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => makeOperation(path, method, operation)));
    const schemas = Object.entries(components.schemas).map(([name, schema]) => makeSchema(name, schema));
    content.replaceChildren(make("p", {}, info.description), make("h2", {}, "Addresses"), ...operations, make("h2", {}, "Schemas"), ...schemas);
  } catch (error) {
    content.replaceChildren(make("p", { class: "alert", role: "alert" }, `The document cannot be read: ${error.message}`));
  }
  document.body.dataset.ready = "true";
}

show();
