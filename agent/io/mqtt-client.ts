/**
 * MQTT.js behind a module of ours, so that loading it late (`await import`) works the same from the checkout and from the bundle. The
 * client class alone: the package's front door also loads WebSocket, SOCKS and TLS transports, which a tunnel has no use for.
 */
import './mqtt-numbers.ts'
import client from 'mqtt/lib/client'

export const MqttClient = client.default
export type MqttClient = InstanceType<typeof MqttClient>
