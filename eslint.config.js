import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['build/', 'dist/'] },
  js.configs.recommended,
  tseslint.configs.strict,
  {
    rules: {
      // Typed arrays indexed within checked bounds, on hot paths.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: ['scripts/*.mjs'],
    languageOptions: { globals: { process: true, console: true, URL: true } },
  },
);
