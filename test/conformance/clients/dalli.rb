# Dalli, which speaks the binary protocol: ruby dalli.rb <port>
require 'dalli'

def check(expected, value)
  raise "#{value.inspect} instead of #{expected.inspect}" unless expected == value
end

client = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", protocol: :binary)
check true, client.set('a', 'value', 100).is_a?(Integer)
check 'value', client.get('a')
check nil, client.get('none')
check false, client.add('a', 'other')
check true, client.replace('a', 'new', 100, raw: true).is_a?(Integer)
check true, client.append('a', '>')
check '<new>', client.prepend('a', '<') && client.get('a', raw: true)
check true, client.cas('a') { |value| "#{value}!" }.is_a?(Integer)
check 5, client.incr('n', 10, 100, 5)
check 15, client.incr('n', 10)
check 14, client.decr('n', 1)
check true, client.touch('n', 100)
check true, client.set('large', 'x' * 500_000).is_a?(Integer)
check 500_000, client.get('large').length
client.multi { 100.times { |i| client.set("m#{i}", i) } }
check 100, client.get_multi((0...200).map { |i| "m#{i}" }).length
check true, client.delete('a')
check '1.6.18', client.version.values.first
client.flush
check nil, client.get('large')
