// An ESLint rule: words for people are arguments of l10n.t, or arguments of
// something that people do not read (the output channel). A literal holds words
// for people if it begins like a sentence or has words with spaces between.

const words = /^\p{Lu}\p{Ll}|\p{L}{2,} \p{L}{2,}/u;
/** In a template a word may stand beside what is put in. */
const beside = /\p{L}{2,} $|^ \p{L}{2,}/u;
/** Names, which are the same in all languages. */
const names = /JuliaHub|juliahub-lsp|(Julia)?Project\.toml/g;
/** Calls whose text nobody is shown: the output channel's. */
const unread = ["info", "warn", "error", "debug", "trace"];

export const localized = {
  meta: { type: "problem", schema: [], messages: { bare: "{{text}} is for people: l10n.t(…)" } },
  create(context) {
    const check = (node, whole, template = false) => {
      const text = whole.replace(names, "");
      if (!(words.test(text) || (template && beside.test(text))) || isTranslated(node)) return;
      context.report({ node, messageId: "bare", data: { text: JSON.stringify(whole) } });
    };
    return {
      Literal: (node) => typeof node.value === "string" && check(node, node.value),
      TemplateElement: (node) => check(node, node.value.cooked, true),
    };
  },
};

function isTranslated(node) {
  for (let at = node; at.parent; at = at.parent) {
    const { parent } = at;
    if (/^(TS|Import|Export)/.test(parent.type) && parent.type !== "TSAsExpression") return true; // types and paths
    if (parent.type !== "CallExpression") continue;
    const { callee } = parent;
    if (callee.type !== "MemberExpression") continue;
    const object = callee.object.name ?? callee.object.property?.name;
    if (object === "l10n" || (object === "output" && unread.includes(callee.property.name))) return true;
  }
  return false;
}
