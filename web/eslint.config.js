// Rules that find mistakes; what things look like is Prettier's.
import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["dist/**", "**/generated/**", "**/dist/**"] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: [".svelte"] } },
  },
  {
    files: ["**/*.ts", "**/*.svelte"],
    rules: {
      // The compiler knows every name.
      "no-undef": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": "off",
      eqeqeq: "error",
      "max-params": ["error", 5],
      "max-lines-per-function": ["error", { max: 100, skipComments: true, skipBlankLines: true }],
      "max-lines": ["error", { max: 1000 }],
      // Pages are documents of their own: links are plain links.
      "svelte/no-navigation-without-resolve": "off",
    },
  },
);
