/** A tracker as a sink that takes whole lists over with rests: of ten thousand Services one takes most of a second. */
import { withRests } from '../dataplane/turn.ts';
import type { ObjectSink } from '../model/kubernetes.ts';
import type { Tracker } from '../model/tracker.ts';

export const restingSink = (tracker: Tracker): ObjectSink => ({
  replace: (kind, objects) => withRests(tracker.replacing(kind, objects)),
  put: (kind, object) => tracker.put(kind, object),
  remove: (kind, object) => tracker.remove(kind, object),
});
