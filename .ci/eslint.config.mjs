// ESLint for the stage's modules; no rule from a package, so that `npx eslint` alone is enough. CONTRIBUTING.md has the command.

const names = (text) => Object.fromEntries(text.split(" ").map((name) => [name, "readonly"]));
// What is there without a page as well, in a worker: all that a module in pure/ may use besides the language.
const ANYWHERE = names("Blob Response DecompressionStream TextDecoder atob");
const PAGE = names(`document window navigator console performance setTimeout clearTimeout requestAnimationFrame
cancelAnimationFrame matchMedia getComputedStyle createImageBitmap OffscreenCanvas Path2D DOMMatrix ResizeObserver
MutationObserver KeyboardEvent URL`.replaceAll("\n", " "));

const MISTAKES = [
  "constructor-super", "for-direction", "getter-return", "no-async-promise-executor", "no-case-declarations",
  "no-class-assign", "no-compare-neg-zero", "no-cond-assign", "no-const-assign", "no-constant-binary-expression",
  "no-constant-condition", "no-debugger", "no-dupe-args", "no-dupe-class-members", "no-dupe-else-if", "no-dupe-keys",
  "no-duplicate-case", "no-duplicate-imports", "no-empty-pattern", "no-eval", "no-ex-assign", "no-fallthrough",
  "no-func-assign", "no-import-assign", "no-irregular-whitespace", "no-loss-of-precision", "no-new-func", "no-redeclare",
  "no-self-assign", "no-self-compare", "no-setter-return", "no-shadow", "no-shadow-restricted-names", "no-sparse-arrays",
  "no-this-before-super", "no-throw-literal", "no-undef", "no-unexpected-multiline", "no-unreachable",
  "no-unsafe-finally", "no-unsafe-negation", "no-unsafe-optional-chaining", "no-unused-expressions",
  "no-use-before-define", "no-useless-assignment", "no-useless-escape", "no-useless-rename", "no-useless-return",
  "no-var", "prefer-const", "use-isnan", "valid-typeof",
];

export default [
  {
    files: ["**/*.js"],
    languageOptions: { sourceType: "module", ecmaVersion: 2022, globals: { ...ANYWHERE, ...PAGE } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...Object.fromEntries(MISTAKES.map((rule) => [rule, "error"])),
      "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
      "no-unused-vars": ["error", { args: "after-used", varsIgnorePattern: "^_$", caughtErrors: "all" }],
      eqeqeq: "error",
      "max-lines": ["error", 320],
      "max-lines-per-function": ["error", { max: 40, skipComments: true }],
    },
  },
  { files: ["**/pure/*.js"], languageOptions: { globals: Object.fromEntries(Object.keys(PAGE).map((name) => [name, "off"])) } },
];
