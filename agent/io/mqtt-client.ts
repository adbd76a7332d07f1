/** MQTT.js behind a module of ours, so that loading it late (`await import`) works the same from the checkout and from the bundle. */
export { MqttClient } from 'mqtt'
