// Maps and configurations of the recorded cards.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import type { RssConfig } from 'freebsd-rss';

import { native } from '../../lib/native.js';
import { type CardMap, mapOfCards } from '../../lib/rss/card/map.js';
import { parseRecording, type Recording, recordedCard } from '../../lib/rss/card/recording.js';
import { cardConfig } from '../../lib/rss/config.js';

export const recording = (name: string): Recording =>
  parseRecording(readFileSync(`test/fixtures/cards/${name}-14.0.json`, 'utf8'));

/** The map of a recorded card. `changes`: other sysctl values. */
export function mapOf(name: string, changes: Record<string, string> = {}): CardMap {
  const facts = recordedCard(recording(name))!;
  const card = { ...facts, sysctl: { ...facts.sysctl, ...changes } };
  const map = mapOfCards([{ addresses: [], cards: [card] }], []);
  assert.equal(map.source, 'card');
  return map as CardMap;
}

export const base = native.virtualRssConfig([0, 1, 2, 3], -1, 'no options RSS');

export const configOf = (name: string, changes?: Record<string, string>): RssConfig =>
  cardConfig(base, mapOf(name, changes), undefined);
