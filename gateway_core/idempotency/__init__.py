"""``Idempotency-Key``: a request that is sent again is not done again.

The first request with a key reserves a row before it does anything, and keeps its answer there when
it ends. The row decides for all processes, and the promise is "at most once": what may have been
done is never done again under the same key, however long ago its process died.
"""
