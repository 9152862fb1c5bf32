// Explains why the addon does not load, and how it is compiled.
import { RssError } from './errors.js';

const commands =
  'npm rebuild freebsd-rss --ignore-scripts=false, pnpm approve-builds, ' +
  'or yarn rebuild freebsd-rss (with "dependenciesMeta": {"freebsd-rss": {"built": true}})';

/** `cause`: the error of loading it. `checkout`: whether this is no installed package. */
export function missingAddon(cause: Error & { tries?: unknown }, checkout: boolean): RssError {
  const [line] = cause.message.split('\n');
  // Only where no file was found has the error a list of the places.
  const why =
    cause.tries === undefined
      ? `it was compiled for another system, architecture, C library or Node (${line})`
      : 'it was not compiled, because install scripts were not allowed or have failed';
  const how = checkout ? 'npm run compile' : commands;
  return new RssError('ERR_RSS_NO_ADDON', `the addon does not load: ${why}; run ${how}`);
}
