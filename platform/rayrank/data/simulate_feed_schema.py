"""The schema.yaml that goes with the simulated feed."""

FEED_SCHEMA = """\
# A simulated feed: users scroll through slates of posts, click some, like and save a few.
name: feed
user: user_id
item: item_id
time: time_ms
time_unit: ms
timezone: Asia/Shanghai
request: request_id

sequences:
  views: {from: exposures, keep: 20}
  clicks: {from: exposures, where: click, keep: 60}
  likes: {from: exposures, where: like, keep: 30}
  saves: {from: events, type: save, keep: 30}

tables:
  item: {dim: 16}
  author: {dim: 16}
  channel: {dim: 8}
  hour: {dim: 8}
  position: {dim: 8}
  country: {dim: 8}
  age: {dim: 8}

features:
  # The user.
  country: {tokens: [profile], kind: id, source: users, table: country}
  age: {tokens: [profile], kind: bucket, source: users, table: age, boundaries: [22, 33, 44, 55]}

  # What was shown, in the past and now.
  item_id: {tokens: [views, clicks, likes, saves, candidate], kind: id, table: item}
  author_id:
    {tokens: [clicks, likes, saves, candidate], kind: id, source: items, table: author}
  channel:
    tokens: [views, clicks, likes, saves, candidate]
    kind: id
    source: items
    table: channel
  content:
    tokens: [views, clicks, likes, saves, candidate]
    kind: vector
    source: items
    width: 16
  hour: {tokens: [clicks, candidate], kind: id, table: hour}

  # The candidate's own: context, and statistics as of the request.
  position:
    tokens: [candidate]
    kind: bucket
    table: position
    boundaries: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
  user_ctr: {tokens: [candidate], kind: number, as_of: stats_as_of_ms}
  user_count: {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}
  item_ctr: {tokens: [candidate], kind: number, as_of: stats_as_of_ms}
  item_count: {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}
  user_author_clicks: {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}
  user_author_count: {tokens: [candidate], kind: number, transform: log1p, as_of: stats_as_of_ms}

tasks:
  click: {label: click}
  like: {label: like, given: click}
"""
