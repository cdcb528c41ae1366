// The strict rules of typescript-eslint, and one of our own: what people read
// is in the reach of translators.
import tseslint from "typescript-eslint";
import { localized } from "./l10n/rule.mjs";

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true, ignoreVoidOperator: true }],
      eqeqeq: "error",
    },
  },
  { files: ["src/**/*.ts"], plugins: { l10n: { rules: { localized } } }, rules: { "l10n/localized": "error" } },
  { files: ["**/*.mjs"], extends: [tseslint.configs.strict], rules: { eqeqeq: "error" } },
);
